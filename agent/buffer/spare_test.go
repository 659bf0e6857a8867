package buffer_test

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

// two appends n records of two units in turn, from id on: those of "hot" have even ids.
func two(t *testing.T, b *buffer.Buffer, id, n int) {
	t.Helper()
	for i := id; i < id+n; i++ {
		it := buffer.Item{Data: payload(i, 1000), Label: []string{"hot", "u"}[i%2], Rows: 2, First: int64(i) + 1, Last: int64(i) + 2}
		if _, err := b.Append([]buffer.Item{it}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// rest returns the ids below n that are held, and checks that each position is held or told
// lost, each reading that is not held once.
func rest(t *testing.T, b *buffer.Buffer, n int) (ids []int) {
	t.Helper()
	x := taleOf(t, b)
	x.accounted(t, b.Chain()[0].Next, b.Stats().LostRows)
	for _, id := range x.ids {
		if id < n {
			ids = append(ids, id)
		}
	}
	return ids
}

func even(n int) (ids []int) {
	for i := 0; i < n; i += 2 {
		ids = append(ids, i)
	}
	return ids
}

// TestSpare: what a unit gave before an alarm outlives all else that was taken meanwhile and
// for long after, also over a crash, in the files and in memory.
func TestSpare(t *testing.T) {
	for _, p := range []buffer.Policy{buffer.DropOldest, buffer.Thin} {
		t.Run(p.String(), func(t *testing.T) {
			o := policyOptions(t, p)
			b := open(t, o)
			two(t, b, 0, 60)
			written(t, b)
			b.Spare("hot", time.Minute)
			b.Spare("nobody", time.Minute)
			written(t, b)
			pour(t, b, 1000, 1500)
			if got := rest(t, b, 1000); !slices.Equal(evenOf(got), even(60)) || p == buffer.DropOldest && len(got) != 30 {
				t.Fatalf("before the crash %v are held", got)
			}
			lost := b.Stats().LostRows
			if err := buffer.Abandon(b); err != nil {
				t.Fatal(err)
			}
			b = open(t, o)
			if inv := b.Inventory(); len(inv.Cursors) != 0 {
				t.Errorf("the cursors of sources are %v", inv.Cursors)
			}
			pour(t, b, 3000, 1500)
			x := taleOf(t, b)
			var ids []int
			for _, id := range x.ids {
				if id < 1000 {
					ids = append(ids, id)
				}
			}
			if !slices.Equal(evenOf(ids), even(60)) || b.Stats().LostRows == 0 || lost == 0 {
				t.Errorf("after the crash %v are held; %d readings lost before it, %d behind it", ids, lost, b.Stats().LostRows)
			}
		})
	}
}

func evenOf(ids []int) []int {
	return slices.DeleteFunc(slices.Clone(ids), func(id int) bool { return id%2 != 0 })
}

// TestSpareInMemory: the same while the disk takes nothing.
func TestSpareInMemory(t *testing.T) {
	o := policyOptions(t, buffer.DropOldest)
	var broken atomic.Bool
	o.SetStep(func(name string) error {
		if broken.Load() && name == "write" {
			return errors.New("the disk fails, as it was told to")
		}
		return nil
	})
	synctest.Test(t, func(t *testing.T) {
		b := open(t, o)
		broken.Store(true)
		two(t, b, 0, 60)
		for range 100 { // a note of it takes the place of the one before
			b.Spare("hot", time.Minute)
		}
		time.Sleep(time.Minute) // the disk is tried again every 5 s now, and not while this goes on:
		synctest.Wait()
		for i := 1000; i < 1400; i++ {
			it := buffer.Item{Data: payload(i, 10_000), Label: "u", Rows: 2, First: 1, Last: 2}
			if _, err := b.Append([]buffer.Item{it}, nil); err != nil {
				t.Fatal(err)
			}
		}
		if st := b.Stats(); st.MemoryBytes > o.MaxMemory || st.LostRecords == 0 {
			t.Errorf("stats %+v", st)
		}
		broken.Store(false)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := rest(t, b, 1000); !slices.Equal(got, even(60)) {
			t.Errorf("%v are held", got)
		}
	})
}

// TestSpareIsMoved: a new epoch does not forget what records are spared.
func TestSpareIsMoved(t *testing.T) {
	b := open(t, policyOptions(t, buffer.DropOldest))
	two(t, b, 0, 40)
	written(t, b)
	two(t, b, 40, 20)
	b.Spare("hot", time.Minute)
	newEpoch(t, b, ranges.Of(ranges.Range{From: 0, To: 10}))
	pour(t, b, 1000, 1500)
	var ids []int
	for _, s := range all(t, b, buffer.Backlog) {
		if id, _ := idOf(s.Data); s.Class == buffer.Bulk && id < 1000 {
			ids = append(ids, id)
		}
	}
	if !slices.Equal(ids, even(60)) {
		t.Errorf("%v are held", ids)
	}
}

// TestAlarmsGoLast: where all that is held lies around alarms, the oldest of it makes room
// for what comes: a cell with an alarm that comes and goes for weeks still has what happened
// last, and all of it but one step is of alarms.
func TestAlarmsGoLast(t *testing.T) {
	b := open(t, policyOptions(t, buffer.DropOldest))
	for i := range 600 {
		it := buffer.Item{Class: buffer.Alarm, Data: payload(i, 10_000), Label: "u", Rows: 2, First: int64(i) + 1, Last: int64(i) + 2}
		if _, err := b.Append([]buffer.Item{it}, nil); err != nil {
			t.Fatal(err)
		}
		if i%20 == 0 {
			written(t, b)
		}
	}
	pour(t, b, 1000, 600)
	x := taleOf(t, b)
	x.accounted(t, b.Chain()[0].Next, b.Stats().LostRows)
	if n := len(x.ids); n == 0 || x.ids[n-1] != 1599 || x.alarms < 150 {
		t.Errorf("%d readings are held, %v, and %d of alarms", len(x.ids), x.ids, x.alarms)
	}
}

// TestWaitingLeavesTheReserve: a source that can be read again waits, whatever it brings.
func TestWaitingLeavesTheReserve(t *testing.T) {
	b := open(t, fullOptions(t))
	fill(t, b)
	it := buffer.Item{Class: buffer.Alarm, Data: payload(1, 1000)}
	if _, err := b.Append([]buffer.Item{it}, &buffer.Cursor{Name: "c"}); !errors.Is(err, buffer.ErrFull) {
		t.Errorf("with a cursor: %v", err)
	}
	if _, err := b.Append([]buffer.Item{it}, nil); err != nil || b.Stats().LostRecords != 0 {
		t.Errorf("without: %v, %+v", err, b.Stats())
	}
}

// TestAttachKnowsWhatWasSpared: what an earlier process said is to be let go of last is so too when the disk came later.
func TestAttachKnowsWhatWasSpared(t *testing.T) {
	o := policyOptions(t, buffer.DropOldest)
	b := open(t, o)
	two(t, b, 0, 60)
	written(t, b)
	b.Spare("hot", time.Minute)
	written(t, b)
	if err := buffer.Abandon(b); err != nil {
		t.Fatal(err)
	}
	b, err := buffer.OpenDetached(o, errNoDisk)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Attach(); err != nil {
		t.Fatal(err)
	}
	pour(t, b, 1000, 1500)
	expectSpared(t, b)
}

// TestWhatWasSparedWithoutADisk: what was spared while there was no disk is so over a crash that follows.
func TestWhatWasSparedWithoutADisk(t *testing.T) {
	o := policyOptions(t, buffer.DropOldest)
	b := open(t, o)
	appendAt(t, b, 0, items(5000), nil)
	for range 20 { // the counter of cursors is at 20
		if _, err := b.Append(nil, &buffer.Cursor{Name: "c", Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		b.Spare("u", time.Minute)
		b.Spare("", time.Minute)
	}
	written(t, b)
	if err := buffer.Abandon(b); err != nil {
		t.Fatal(err)
	}
	b, err := buffer.OpenDetached(o, errNoDisk)
	if err != nil {
		t.Fatal(err)
	}
	two(t, b, 0, 60)
	b.Spare("hot", time.Minute)
	if err := b.Attach(); err != nil {
		t.Fatal(err)
	}
	written(t, b)
	if err := buffer.Abandon(b); err != nil {
		t.Fatal(err)
	}
	b = open(t, o)
	pour(t, b, 1000, 1500)
	expectSpared(t, b)
	closeChecked(t, b)
}

// expectSpared expects that of what two put in only the spared half is held.
func expectSpared(t *testing.T, b *buffer.Buffer) {
	t.Helper()
	var ids []int
	for _, id := range taleOf(t, b).ids {
		if id < 1000 {
			ids = append(ids, id)
		}
	}
	if !slices.Equal(ids, even(60)) {
		t.Errorf("held are %v", ids)
	}
}
