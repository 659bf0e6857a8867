package buffer_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/buffer"
)

// TestSimulation runs random calls against the model, under each policy, with a disk that holds
// and one that fails and is full at times. Before every step of the buffer that reaches the
// disk it may take an image of the folder; every image must open to what the model says, as
// must the buffer after each restart: what was on disk, or belongs to a cursor that is, and is
// not there was acknowledged or is told lost, under the name that Append or a move gave it.
func TestSimulation(t *testing.T) {
	seeds, ops := 6, 250
	if v := os.Getenv("ANDON_SIM_SEEDS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		seeds, ops = n, 600
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := &sim{t: t, rng: rand.New(rand.NewPCG(uint64(seed), 7)), hooks: rand.New(rand.NewPCG(uint64(seed), 8)), m: newModel(), root: t.TempDir()}
			s.o = small("")
			s.o.RotateBytes = 256 << 10
			s.o.MaxDisk, s.o.Quota = 512<<10, buffer.MinQuota
			s.o.Policy = buffer.Policy(seed / 2 % 3)
			s.m.sheds = s.o.Policy != buffer.DropNewest
			s.o.MaxMemory = 512 << 10
			s.failing, s.filling = seed%2 == 1, seed%4 == 1
			if (seed+seed/6)%3 == 1 {
				s.o.Retain = 50 * time.Millisecond
			}
			reg := prometheus.NewRegistry()
			s.o.Metrics = buffer.NewMetrics(reg)
			s.o.SetStep(s.step)
			s.most = ops / 10
			s.start(filepath.Join(s.root, "live"))
			for range ops {
				s.act()
				if t.Failed() {
					return
				}
			}
			s.calm.Store(true)
			s.restart(false)
			found := counters(t, reg)["andon_buffer_no_space_total"]
			t.Logf("%v, %d records were let go of; no space was found %v times", s.o.Policy, s.m.shed, found)
			if s.filling && found == 0 {
				t.Error("the disk never was full")
			}
			s.stop()
			s.verifyImages()
		})
	}
}

type sim struct {
	t      *testing.T
	rng    *rand.Rand
	hooks  *rand.Rand // used where the buffer's goroutines call
	o      buffer.Options
	b      *buffer.Buffer
	m      *model
	root   string
	ids    int
	cursor int
	images []simImage
	most   int // of them
	count  int
	after  *buffer.Key

	failing bool        // some steps fail
	filling bool        // some find no space
	full    int         // so many more of them
	writes  int         // and new files that were tried while it does not hold
	calm    atomic.Bool // but not now
}

type simImage struct {
	dir, step string
	m         *model
}

func (s *sim) start(dir string) {
	s.o.Dir = dir
	b, err := buffer.Open(s.o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.b = b
	s.after = nil
}

// stop closes the buffer and reports whether that reached the disk.
func (s *sim) stop() bool {
	err := s.b.Close()
	if err != nil && !s.failing {
		s.t.Error(err)
	}
	return err == nil
}

func (s *sim) act() {
	switch n := s.rng.IntN(100); {
	case n < 40:
		s.append(false)
	case n < 55:
		s.append(true)
	case n < 75:
		s.read()
	case n < 88:
		s.ack()
	case n < 91:
		time.Sleep(time.Duration(s.rng.IntN(6)) * time.Millisecond)
	case n < 93:
		s.settle()
	case n < 94:
		buffer.LookForSpace(s.b)
	case n < 96:
		if err := s.b.NewEpoch(s.m.sent(s.b.Epoch())); err != nil && !s.failing {
			s.t.Error(err)
		}
	case n < 97:
		s.restart(true)
	case n < 98:
		s.restart(false)
	case n < 99:
		if err := buffer.Check(s.b); err != nil {
			s.t.Error(err)
		}
	default:
		if s.o.Retain > 0 {
			for _, ep := range s.b.Chain() {
				// What comes back is held again under its own name.
				s.b.Requeue(ep.Epoch, set(uint64(s.rng.IntN(50)), uint64(s.rng.IntN(500))))
			}
		}
	}
}

func (s *sim) append(withCursor bool) {
	list := make([]buffer.Item, s.rng.IntN(6))
	var c *buffer.Cursor
	if withCursor {
		c = &buffer.Cursor{Name: "replay", Data: fmt.Append(nil, s.cursor+1)}
	}
	m := s.m
	m.mu.Lock() // an image has all of it, or nothing
	defer m.mu.Unlock()
	var kept []int
	for i := range list {
		s.ids++
		size := 20 + s.rng.IntN(1000)
		if s.rng.IntN(2) == 0 {
			size = s.rng.IntN(12_000) + 20
		}
		list[i] = buffer.Item{Data: payload(s.ids, size), Rows: 1, Label: "u"}
		if s.rng.IntN(20) == 0 {
			list[i].Class = buffer.Alarm
		}
		if s.rng.IntN(40) == 0 {
			list[i].Data = payload(s.ids, s.o.MaxRecord+1)
			continue
		}
		kept = append(kept, i)
	}
	if len(list) == 0 && !withCursor {
		return
	}
	before := s.b.Stats().LostRecords
	first, err := s.b.Append(list, c)
	lost := s.b.Stats().LostRecords-before > uint64(len(list)-len(kept))
	switch {
	case errors.Is(err, buffer.ErrFull) || err == nil && lost && !m.sheds:
		return
	case err != nil:
		s.t.Error(err)
		return
	}
	epoch := s.b.Epoch()
	for _, i := range kept {
		id := s.ids - len(list) + 1 + i
		m.size[id], m.at[id] = len(list[i].Data), buffer.Key{Epoch: epoch, Position: first + uint64(i)}
		if withCursor {
			m.cursorOf[id] = s.cursor + 1
		}
	}
	if withCursor {
		s.cursor++
	}
}

// read reads some records of a lane, as the uplink does.
func (s *sim) read() {
	lane := buffer.Lane(s.rng.IntN(2))
	if s.rng.IntN(4) == 0 {
		s.after = nil
	}
	for range s.rng.IntN(40) {
		r, ok, err := s.b.Next(lane, s.after)
		if err != nil {
			s.t.Error(err)
		}
		if !ok {
			return
		}
		s.after = &r.Key
		if r.Class == buffer.Loss {
			if r.OnDisk {
				s.tells(r)
			}
			continue
		}
		id, err := s.m.gave(r)
		if err != nil {
			s.t.Error(err)
		}
		if s.m.acked[id] && s.o.Retain == 0 {
			s.t.Errorf("record %d was acknowledged and is given out", id)
		}
	}
}

// ack acknowledges some of what was given out, oldest first or anywhere.
func (s *sim) ack() {
	for _, ep := range s.b.Chain() {
		for _, r := range ep.Held.Ranges() {
			n := uint64(s.rng.IntN(60))
			from := r.From
			if s.rng.IntN(3) == 0 {
				from += uint64(s.rng.IntN(30))
			}
			for p := from; p < min(from+n, r.To); p++ {
				k := buffer.Key{Epoch: ep.Epoch, Position: p}
				s.m.mu.Lock()
				id, given := s.m.names[k]
				given = given && s.m.given[id] == k
				if given {
					s.m.acked[id] = true
				}
				s.m.mu.Unlock()
				isLoss := false
				if !given {
					rec, ok, err := s.b.Get(k)
					if err != nil {
						s.t.Error(err)
					}
					if isLoss = ok && rec.Class == buffer.Loss; isLoss {
						s.tells(rec)
					}
					if ok && !isLoss {
						if _, err := s.m.gave(rec); err != nil {
							s.t.Error(err)
						}
					}
				}
				if given || isLoss {
					if err := s.b.Ack(ep.Epoch, set(p, p+1)); err != nil {
						s.t.Error(err)
					}
				}
			}
			if s.rng.IntN(2) == 0 {
				return
			}
		}
	}
}

// tells takes note of a loss record that a crash cannot take any more.
func (s *sim) tells(r buffer.Stored) {
	if err := s.m.tells(r); err != nil {
		s.t.Error(err)
	}
}

func (s *sim) settle() {
	var list []buffer.Epoch
	for _, ep := range s.b.Chain() {
		list = append(list, ep.Epoch)
	}
	s.b.Settle(list)
}
