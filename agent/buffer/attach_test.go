package buffer_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/buffer"
)

var errNoDisk = errors.New("input/output error")

// detached opens a buffer that has no folder. Something else lies where that would be.
func detached(t *testing.T, o buffer.Options) (b *buffer.Buffer, makeRoom func()) {
	t.Helper()
	if err := os.WriteFile(o.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := buffer.OpenDetached(o, errNoDisk)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Attach(); err == nil || b.Stats().Detached == nil {
		t.Fatalf("Attach gives %v where a file is in the way", err)
	}
	return b, func() {
		t.Helper()
		if err := os.Remove(o.Dir); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWithoutADisk: records go from memory to the uplink, and to the disk when there is one,
// under the names that they had.
func TestWithoutADisk(t *testing.T) {
	for mode, ahead := range map[string]bool{"behind": false, "ahead": true} {
		t.Run(mode, func(t *testing.T) {
			o := small(filepath.Join(t.TempDir(), "buffer"))
			reg := prometheus.NewRegistry()
			o.WriteAhead, o.Metrics = ahead, buffer.NewMetrics(reg)
			b, makeRoom := detached(t, o)
			epoch := b.Epoch()
			appendAt(t, b, 0, items(0, 1, 2), nil)
			wantLane(t, b, buffer.Live, "0:0 1:1 2:2")
			if _, err := b.Cursor("c"); !errors.Is(err, buffer.ErrDetached) {
				t.Errorf("a cursor that nobody can read: %v", err)
			}
			if _, err := b.Append(items(9), &buffer.Cursor{Name: "c", Data: []byte("1")}); !errors.Is(err, buffer.ErrDetached) {
				t.Errorf("an append that nothing can make durable: %v", err)
			}
			_ = b.Ack(epoch, set(0, 1))
			appendAt(t, b, 3, items(3), nil)
			if m := counters(t, reg); m["andon_buffer_detached"] != 1 {
				t.Errorf("metrics %v", m)
			}
			if err := buffer.Check(b); err != nil {
				t.Error(err)
			}
			makeRoom()
			if err := errors.Join(b.Attach(), b.Attach()); err != nil {
				t.Fatal(err)
			}
			if b.Epoch() != epoch {
				t.Error("another epoch began")
			}
			if c, err := b.Cursor("c"); c != nil || err != nil {
				t.Errorf("cursor %q, %v", c, err)
			}
			appendAt(t, b, 4, items(4), &buffer.Cursor{Name: "c", Data: []byte("5")})
			written(t, b)
			wantLane(t, b, buffer.Backlog, "1:1 2:2 3:3 4:4")
			if m := counters(t, reg); m["andon_buffer_detached"] != 0 || b.Written().Device == 0 {
				t.Errorf("metrics %v, written %+v", m, b.Written())
			}
			closeChecked(t, b)
			o.Metrics = nil
			b = open(t, o)
			wantLane(t, b, buffer.Backlog, "1:1 2:2 3:3 4:4")
			if got, want := (epochNames{}).text(t, b), "1<- closed 0 ; 2<1 closed 5 [1,5); 3<2 open 0 "; got != want {
				t.Errorf("the chain is %s, want %s", got, want)
			}
		})
	}
}

// TestAttachFindsWhatWasThere: what an earlier process left comes before what is in memory,
// also where the disk fails again at each step on the way.
func TestAttachFindsWhatWasThere(t *testing.T) {
	for failures := range 4 {
		t.Run(fmt.Sprint(failures), func(t *testing.T) {
			o := small(filepath.Join(t.TempDir(), "buffer"))
			b := open(t, o)
			old := b.Epoch()
			appendAt(t, b, 0, items(0, 1, 2), &buffer.Cursor{Name: "c", Data: []byte("3")})
			written(t, b)
			if err := buffer.Abandon(b); err != nil {
				t.Fatal(err)
			}
			left := 0
			o.SetStep(func(name string) error {
				if left--; name == "begin" && left == 0 {
					return errNoDisk
				}
				return nil
			})
			b, err := buffer.OpenDetached(o, errNoDisk)
			if err != nil {
				t.Fatal(err)
			}
			appendAt(t, b, 0, items(3, 4), nil)
			for left = 1; left <= failures; left++ {
				at := left
				if err := b.Attach(); (err == nil) != (at > 2) {
					t.Fatalf("attempt %d: %v", at, err)
				}
				left = at
			}
			left = 0
			if err := b.Attach(); err != nil {
				t.Fatal(err)
			}
			appendAt(t, b, 2, items(5), nil)
			written(t, b)
			wantLane(t, b, buffer.Backlog, "0:0 1:1 2:2 0:3 1:4 2:5")
			wantLane(t, b, buffer.Live, "0:3 1:4 2:5")
			if c, err := b.Cursor("c"); string(c) != "3" || err != nil {
				t.Errorf("cursor %q, %v", c, err)
			}
			chain := b.Chain()
			if first, last := chain[0], chain[len(chain)-1]; first.Epoch != old || first.Ended != buffer.EndUnclean || first.Next != 3 ||
				last.Epoch != b.Epoch() || last.Prev != chain[len(chain)-2].Epoch {
				t.Errorf("the chain is %s", (epochNames{}).text(t, b))
			}
			_ = b.Ack(old, set(0, 2))
			closeChecked(t, b)
			o.SetStep(nil)
			b = open(t, o)
			wantLane(t, b, buffer.Backlog, "2:2 0:3 1:4 2:5")
		})
	}
}

// TestAttachTellsWhatItFinds: also what is found damaged behind the last that is written before the
// folder is taken over.
func TestAttachTellsWhatItFinds(t *testing.T) {
	o := small(t.TempDir())
	o.RotateBytes = 256 << 10
	o.SetStep(crashesInMove())
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	const n = 100
	pour(t, b, 0, n)
	cutOff(t, b)
	files := recordFiles(t, o.Dir)
	if len(files) < 4 {
		t.Fatalf("there are %d files", len(files))
	}
	rewrite(t, files[0], zero)
	var reopen []func()
	o.SetStep(func(name string) error {
		switch {
		case name == "begin" && reopen == nil: // the move finds that they do not open
			for _, path := range files[1:3] {
				reopen = append(reopen, closed(t, path))
			}
		case name == "write" && len(reopen) > 0: // they are tried again behind this, and behind the next flush
			for i, path := range files[1:3] {
				reopen[i]()
				if err := os.Truncate(path, 0); err != nil {
					t.Error(err)
				}
			}
			reopen = reopen[:0]
			time.Sleep(1100 * time.Millisecond) // until they are to be tried again
		}
		return nil
	})
	b, err = buffer.OpenDetached(o, errNoDisk)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Attach(); err != nil {
		t.Fatal(err)
	}
	written(t, b)
	var held, told uint64
	for _, s := range all(t, b, buffer.Backlog) {
		if s.Class != buffer.Loss {
			held++
		} else if l, err := buffer.DecodeLoss(s.Data); err == nil {
			told += l.To - l.From
		}
	}
	if st := b.Stats(); held+told != n || told != st.LostRecords || held == 0 || st.Unreadable != nil {
		t.Errorf("%d are held, %d told as lost; %+v", held, told, st)
	}
	closeChecked(t, b)
}

// TestARingWithoutADisk: memory is bounded, and what goes is told.
func TestARingWithoutADisk(t *testing.T) {
	o := small(filepath.Join(t.TempDir(), "buffer"))
	b, makeRoom := detached(t, o)
	const n = 400
	for id := range n {
		it := buffer.Item{Data: payload(id, 10_000), Label: "u", Rows: 1, First: int64(id) + 1, Last: int64(id) + 1}
		if _, err := b.Append([]buffer.Item{it}, nil); err != nil {
			t.Fatal(err)
		}
	}
	within(t, "losses are told", func() bool { return buffer.OpenLosses(b) == 0 })
	st := b.Stats()
	if st.MemoryBytes > o.MaxMemory || st.LostRecords == 0 {
		t.Errorf("%+v", st)
	}
	if err := buffer.Check(b); err != nil {
		t.Error(err)
	}
	x := taleOf(t, b)
	x.accounted(t, b.Chain()[0].Next, st.LostRows)
	if len(x.ids) < 50 || x.ids[len(x.ids)-1] != n-1 {
		t.Errorf("held: %v", x.ids)
	}
	makeRoom()
	if err := b.Attach(); err != nil {
		t.Fatal(err)
	}
	written(t, b)
	if now := taleOf(t, b); !slices.Equal(now.ids, x.ids) || len(now.losses) != len(x.losses) {
		t.Errorf("with a disk held are %v, before %v", now.ids, x.ids)
	}
	closeChecked(t, b)
}

// TestNewEpochWithoutADisk: a machine that was put back does not go on under used names.
func TestNewEpochWithoutADisk(t *testing.T) {
	o := small(filepath.Join(t.TempDir(), "buffer"))
	b, makeRoom := detached(t, o)
	old := b.Epoch()
	appendAt(t, b, 0, items(0, 1, 2), nil)
	if err := b.NewEpoch(set(0, 1)); err != nil {
		t.Fatal(err)
	}
	wantLane(t, b, buffer.Backlog, "0:0 0:1 1:2")
	if b.Epoch() == old {
		t.Error("the epoch goes on")
	}
	makeRoom()
	if err := b.Attach(); err != nil {
		t.Fatal(err)
	}
	appendAt(t, b, 2, items(3), nil)
	written(t, b)
	closeChecked(t, b)
	b = open(t, o)
	wantLane(t, b, buffer.Backlog, "0:0 0:1 1:2 2:3")
	if got, want := (epochNames{}).text(t, b), "1<- closed 0 ; 2<1 closed 1 [0,1); 3<2 closed 3 [0,3); 4<3 open 0 "; got != want {
		t.Errorf("the chain is %s, want %s", got, want)
	}
}

// TestTheEndWithoutADisk: what is lost then is said.
func TestTheEndWithoutADisk(t *testing.T) {
	b, _ := detached(t, small(filepath.Join(t.TempDir(), "buffer")))
	appendAt(t, b, 0, items(1, 2), nil)
	err := b.Close()
	if !errors.Is(err, buffer.ErrDetached) || !strings.Contains(err.Error(), "2 records with 5 readings were in memory only and are lost") {
		t.Errorf("Close: %v", err)
	}
	if err := b.Attach(); !errors.Is(err, buffer.ErrClosed) {
		t.Errorf("Attach after Close: %v", err)
	}
}
