package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"andon.internal/lab/checker"
	"andon.internal/shared/profiles"
	"andon.internal/shared/telemetry"
)

// journal is what the cell of dynos said of its readings. Its methods are safe for
// concurrent use.
type journal struct {
	profile *telemetry.Profile
	types   map[string]int // signal -> index

	mu   sync.Mutex
	wall time.Duration           // by how much the clock of a cell that booted without one was off, last
	safe map[checker.Place]noted // on disk
	seen map[checker.Place]noted // in memory: safe unless the agent crashes before they are sent
}

type noted struct {
	checker.Reading
	at time.Time // when it was first seen
}

func newJournal(p *telemetry.Profile) *journal {
	j := &journal{profile: p, types: map[string]int{}, safe: map[checker.Place]noted{}, seen: map[checker.Place]noted{}}
	for i := range p.Signals {
		j.types[p.Signals[i].Name] = i
	}
	return j
}

// dynoProfile is of the cell of dynos.
func dynoProfile() *telemetry.Profile {
	list := profiles.Builtin()
	return list[slices.IndexFunc(list, func(p *telemetry.Profile) bool { return p.Name == "dyno" })]
}

// line is one of andon-agent buffer export --format json.
type line struct {
	Epoch    string         `json:"epoch"`
	Position uint64         `json:"position"`
	Row      int            `json:"row"`
	OnDisk   bool           `json:"on_disk"`
	Time     time.Time      `json:"time"`
	Values   map[string]any `json:"values"`
}

// ask asks the cell what it holds. That it does not answer is no fault of ours.
func (j *journal) ask(ctx context.Context, bin, data string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "andon-agent"), "buffer", "export", "--data", data, "--format", "json")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = j.read(out)
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait() // an agent that is down, or goes down
	return err
}

func (j *journal) read(r io.Reader) error {
	now := time.Now()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.UseNumber()
		var l line
		if d.Decode(&l) != nil {
			return nil // cut off
		}
		at, reading, err := j.parse(&l)
		if err != nil {
			return err
		}
		j.note(at, noted{reading, now}, l.OnDisk)
	}
	return nil
}

func (j *journal) parse(l *line) (at checker.Place, r checker.Reading, err error) {
	at.Position, at.Row = l.Position, l.Row
	if at.Epoch, err = telemetry.ParseEpoch(l.Epoch); err != nil {
		return at, r, err
	}
	r.Time, r.Values = l.Time.UnixMicro(), make([]telemetry.Value, len(j.profile.Signals))
	for name, v := range l.Values {
		i, known := j.types[name]
		if !known {
			return at, r, fmt.Errorf("the cell exports a signal %q", name)
		}
		if v == nil {
			continue
		}
		if r.Values[i], err = telemetry.ParseValue(j.profile.Signals[i].Type, fmt.Sprint(v)); err != nil {
			return at, r, err
		}
	}
	return at, r, nil
}

func (j *journal) note(at checker.Place, n noted, onDisk bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n.Time < year2020 {
		n.Time, n.Within = n.Time-j.wall.Microseconds(), dated
	}
	if before, ok := j.seen[at]; ok {
		n = before
	} else if before, ok := j.safe[at]; ok {
		n = before
	}
	if onDisk {
		j.safe[at] = n
		delete(j.seen, at)
	} else if _, ok := j.safe[at]; !ok {
		j.seen[at] = n
	}
}

// year2020 is before any time that a clock which was ever set has.
var year2020 = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// dated is how well the collector dates a reading of a cell without a clock, by when it
// came: the way of what brought it is in that, and so is what held that up.
const dated = 10 * time.Second

// first is when a reading that was declared was first seen.
func (j *journal) first(at checker.Place) time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n, ok := j.safe[at]; ok {
		return n.at
	}
	return j.seen[at].at
}

// booted says that the cell booted with a clock that is off by that much.
func (j *journal) booted(off time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wall = off
}

// crashed says that what was in memory only is gone, but for what was seen there longer ago:
// by then it was written or acknowledged. 0: anything may be gone.
func (j *journal) crashed(longest time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for at, n := range j.seen {
		if longest > 0 && time.Since(n.at) > longest {
			j.safe[at] = n
		}
	}
	clear(j.seen)
}

// rolledBack says that the files are those of an earlier time again.
func (j *journal) rolledBack(to time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	clear(j.seen)
	for at, n := range j.safe {
		if n.at.After(to) {
			delete(j.safe, at)
		}
	}
}

// declared returns what must be stored, taken until then (µs). What was seen before was
// taken before, whatever the clock of the cell said.
func (j *journal) declared(until int64) map[checker.Place]checker.Reading {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make(map[checker.Place]checker.Reading, len(j.safe))
	for _, m := range []map[checker.Place]noted{j.safe, j.seen} {
		for at, n := range m {
			if n.Time <= until || n.at.UnixMicro() <= until {
				out[at] = n.Reading
			}
		}
	}
	return out
}
