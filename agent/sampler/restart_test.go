package sampler_test

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"andon.internal/agent/roster"
	"andon.internal/agent/sampler"
	"andon.internal/agent/source"
	"andon.internal/agent/state"
)

// TestLiveRestart checks that a live source is told which of its runs go on, and
// that they do, with their counts.
func TestLiveRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	buf := newMemory()
	start := func(steps []func(b *source.Batch) error) []source.Run {
		kv, err := state.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer kv.Close()
		ros := openRoster(t, kv)
		src := &script{live: true, steps: steps}
		runSampler(t, config(), src, buf, ros)
		if err := ros.Save(); err != nil {
			t.Fatal(err)
		}
		return src.opened[0].Runs
	}
	if runs := start(twice()[:1]); len(runs) != 0 {
		t.Errorf("the first start was told of %+v", runs)
	}
	runs := start(twice()[1:])
	if len(runs) != 1 || runs[0].Unit != "a" || runs[0].Born != ms(0) || runs[0].Count != 1 {
		t.Errorf("the second start was told of %+v", runs)
	}
	checkRecords(t, buf, newRosterKnowing(t, pair), "a/0+0[1] a/0+1[2]")
}

// TestCursorBeatsRoster checks that the units on test are those of the cursor, which
// is of one transaction with the records, not those of a roster from before or after.
func TestCursorBeatsRoster(t *testing.T) {
	buf, ros := newMemory(), newRoster(t)
	runSampler(t, config(), &script{steps: twice()}, buf, ros)
	other := newRosterKnowing(t, pair)
	stale := []source.Run{{Unit: "a", Profile: pair, Born: 1}, {Unit: "gone", Profile: pair, Born: 1}}
	if err := other.Births("line1", stale...); err != nil {
		t.Fatal(err)
	}
	runSampler(t, config(), &script{steps: twice()}, buf, other)
	active := other.Active()
	if len(active) != 1 || active[0].ID != "a" || active[0].Born != ms(0) || active[0].Count != 2 {
		t.Errorf("on test: %+v", active)
	}
}

// TestRosterAheadOfBuffer checks the run of an agent that died after the roster knew of
// its readings and before the buffer had any on disk: a rereadable source reads them
// again, a live one does not.
func TestRosterAheadOfBuffer(t *testing.T) {
	for live, want := range map[bool]string{false: "a/0+0[1] a/0+1[2]", true: "a/0+5[1] a/0+6[2]"} {
		buf, ros := newMemory(), newRoster(t)
		if err := ros.Births("line1", source.Run{Unit: "a", Profile: pair, Born: ms(0), Count: 5}); err != nil {
			t.Fatal(err)
		}
		runSampler(t, config(), &script{live: live, steps: twice()}, buf, ros)
		checkRecords(t, buf, ros, want)
	}
}

// counting is a roster that counts the births it is told, taken or not.
type counting struct {
	*roster.Roster
	births atomic.Int64
}

func (c *counting) Births(source string, runs ...source.Run) error {
	c.births.Add(1)
	return c.Roster.Births(source, runs...)
}

// TestUnitOfAnotherSource checks that a unit that is taken holds its source back,
// without loss, until it is free.
func TestUnitOfAnotherSource(t *testing.T) {
	buf, ros := newMemory(), newRoster(t)
	if err := ros.Births("other", source.Run{Unit: "a", Profile: pair, Born: 1}); err != nil {
		t.Fatal(err)
	}
	tries := &counting{Roster: ros}
	sm, err := sampler.New(config(), &script{steps: twice()}, buf, tries)
	if err != nil {
		t.Fatal(err)
	}
	runUntil(t, sm, "it says why it waits", func() bool { return sm.State().Err != nil && tries.births.Load() > 2 })
	if st := sm.State(); st.Err == nil || !strings.Contains(st.Err.Error(), "already on test at source other") {
		t.Errorf("state %+v", st)
	}
	checkRecords(t, buf, ros, "")
	if err := ros.Deaths("other", "a"); err != nil {
		t.Fatal(err)
	}
	runSampler(t, config(), &script{steps: twice()}, buf, ros)
	checkRecords(t, buf, ros, "a/0+0[1] a/0+1[2]")
}

// TestEndRuns checks that the runs of a source that is gone are ended, once, and
// that the source goes on behind its cursor when it comes back.
func TestEndRuns(t *testing.T) {
	for name, live := range map[string]bool{"live": true, "rereadable": false} {
		t.Run(name, func(t *testing.T) {
			buf, ros := newMemory(), newRoster(t)
			runSampler(t, config(), &script{live: live, steps: twice()}, buf, ros)
			for range 2 {
				if err := sampler.EndRuns(t.Context(), config(), buf, ros, "removed"); err != nil {
					t.Fatal(err)
				}
			}
			checkRecords(t, buf, ros, "a/0+0[1] a/0+1[2] a/0+2[]removed@0")
			if n := len(ros.Active()); n != 0 {
				t.Errorf("%d units on test", n)
			}
			src := &script{live: live, steps: twice()}
			runSampler(t, config(), src, buf, ros)
			if from := src.opened[0]; len(from.Runs) != 0 || (from.Cursor != nil) == live {
				t.Errorf("opened again with %+v", from)
			}
		})
	}
}

// TestEndRunsBehindAPart ends the runs of a source whose last batch was stored in part:
// also those that were born in that part, and what it keeps says still that the part is
// stored.
func TestEndRunsBehindAPart(t *testing.T) {
	buf, ros := newMemory(), newRoster(t)
	a := source.Run{Unit: "a", Profile: pair, Born: ms(0), Count: 1}
	b := source.Run{Unit: "b", Profile: pair, Born: ms(1)}
	if err := ros.Births("line1", a, b); err != nil {
		t.Fatal(err)
	}
	if err := ros.Remember(pair); err != nil {
		t.Fatal(err)
	}
	m := sampler.Mark{Resume: source.Resume{Cursor: []byte("c"), Runs: []source.Run{a}}, Skip: 3}
	if err := buf.Append("line1", nil, sampler.EncodeMark(m)); err != nil {
		t.Fatal(err)
	}
	if err := sampler.EndRuns(t.Context(), config(), buf, ros, "removed"); err != nil {
		t.Fatal(err)
	}
	checkRecords(t, buf, ros, "a/0+1[]removed@0 b/1+0[]removed@0")
	if n := len(ros.Active()); n != 0 {
		t.Errorf("%d units on test", n)
	}
	stored, err := buf.Cursor("line1")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sampler.DecodeMark(stored, ros.Profile); err != nil || got.Skip != 3 || len(got.Runs) != 0 {
		t.Errorf("it keeps %+v, %v", got, err)
	}
}

// lostCursor is a buffer that had the source's cursor in a file that is damaged.
type lostCursor struct {
	*memory
	asked int
}

func (l *lostCursor) Cursor(name string) ([]byte, error) {
	if l.asked++; l.asked < 4 {
		return nil, errors.New("lost")
	}
	return l.memory.Cursor(name)
}

// TestCursorLost: a source is not opened while its cursor cannot be told.
func TestCursorLost(t *testing.T) {
	src := &script{steps: []func(b *source.Batch) error{func(*source.Batch) error { return io.EOF }}}
	buf := &lostCursor{memory: newMemory()}
	runSampler(t, config(), src, buf, noRoster{})
	if buf.asked != 4 || len(src.opened) != 1 {
		t.Errorf("the cursor was asked for %d times, and the source opened %d times", buf.asked, len(src.opened))
	}
}
