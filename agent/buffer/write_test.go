package buffer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent/buffer"
)

// TestWriteBehind: records are given out at once and written after the linger, unless
// they were acknowledged before.
func TestWriteBehind(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := open(t, buffer.Options{Dir: dir})
		appendAt(t, b, 0, items(1, 2, 3), nil)
		wantLane(t, b, buffer.Live, "0:1 1:2 2:3")
		select {
		case <-b.Changed():
		default:
			t.Error("no signal that records became visible")
		}
		if err := b.Ack(b.Epoch(), set(0, 3)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if files := recordFiles(t, dir); len(files) != 0 {
			t.Errorf("acknowledged records were written: %v", files)
		}
		appendAt(t, b, 3, items(4, 5), nil)
		time.Sleep(99 * time.Millisecond)
		synctest.Wait()
		if n := b.Stats().Unwritten; n != 2 {
			t.Errorf("%d records unwritten after 99 ms, want 2", n)
		}
		time.Sleep(2 * time.Millisecond)
		written(t, b)
		for _, s := range all(t, b, buffer.Backlog) {
			if !s.OnDisk {
				t.Errorf("position %d is not on disk after 101 ms", s.Position)
			}
		}
		appendAt(t, b, 5, []buffer.Item{{Class: buffer.Alarm, Data: payload(6, 10)}}, nil)
		time.Sleep(21 * time.Millisecond)
		synctest.Wait()
		if s, ok, err := b.Get(buffer.Key{Epoch: b.Epoch(), Position: 5}); err != nil || !ok || !s.OnDisk || s.Class != buffer.Alarm {
			t.Errorf("an alarm after 21 ms: %+v, %v, %v", s, ok, err)
		}
	})
}

// TestOneWriteForManyAppends: what comes in a linger goes into one transaction.
func TestOneWriteForManyAppends(t *testing.T) {
	writes := 0
	o := buffer.Options{Dir: t.TempDir()}
	o.SetStep(func(name string) error {
		if name == "write" {
			writes++
		}
		return nil
	})
	synctest.Test(t, func(t *testing.T) {
		b := open(t, o)
		for i := range 90 {
			appendAt(t, b, uint64(i), items(i), nil)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		written(t, b)
		if writes > 2 {
			t.Errorf("90 records in 90 ms took %d transactions", writes)
		}
	})
}

func TestWriteAhead(t *testing.T) {
	for name, o := range map[string]buffer.Options{"ahead": {WriteAhead: true}, "retain": {Retain: time.Hour}} {
		t.Run(name, func(t *testing.T) {
			o.Dir = t.TempDir()
			b := open(t, o)
			appendAt(t, b, 0, items(1, 2), nil)
			<-b.Changed()
			for _, s := range all(t, b, buffer.Backlog) {
				if !s.OnDisk {
					t.Errorf("position %d was given out before it was on disk", s.Position)
				}
			}
			wantLane(t, b, buffer.Live, "0:1 1:2")
		})
	}
}

// TestOrderOfVisibility: a record written behind waits for one before it that is
// written ahead, so that a reader that goes on behind the last one misses nothing.
func TestOrderOfVisibility(t *testing.T) {
	hold := make(chan struct{})
	o := small(t.TempDir())
	o.SetStep(func(name string) error {
		if name == "write" {
			<-hold
		}
		return nil
	})
	b := open(t, o)
	appendAt(t, b, 0, items(1), nil)
	appendAt(t, b, 1, items(2), &buffer.Cursor{Name: "replay", Data: []byte("a")})
	appendAt(t, b, 2, items(3), nil)
	wantLane(t, b, buffer.Backlog, "0:1")
	if got := b.Chain()[0].Held.String(); got != "[0,3)" {
		t.Errorf("the chain says that %s is held, want [0,3)", got)
	}
	if err := b.Ack(b.Epoch(), set(0, 3)); err != nil { // the others were never given out
		t.Fatal(err)
	}
	if c, err := b.Cursor("replay"); err != nil || c != nil {
		t.Errorf("the cursor is %q, %v before it is on disk", c, err)
	}
	close(hold)
	within(t, "the rest is visible", func() bool { return len(all(t, b, buffer.Backlog)) == 2 })
	wantLane(t, b, buffer.Backlog, "1:2 2:3")
	if c, err := b.Cursor("replay"); err != nil || string(c) != "a" {
		t.Errorf("the cursor is %q, %v", c, err)
	}
}

func TestLanes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := open(t, buffer.Options{Dir: dir})
		appendAt(t, b, 0, items(1, 2), nil)
		closeChecked(t, b)
		b = open(t, buffer.Options{Dir: dir})
		appendAt(t, b, 0, items(3), nil)
		time.Sleep(6 * time.Second)
		appendAt(t, b, 1, items(4), nil)
		wantLane(t, b, buffer.Live, "0:3 1:4")
		wantLane(t, b, buffer.Backlog, "0:1 1:2 0:3 1:4")
		time.Sleep(6 * time.Second)
		wantLane(t, b, buffer.Live, "1:4")
		wantLane(t, b, buffer.Backlog, "0:1 1:2 0:3 1:4")
		if age := b.Stats().OldestAge; age < 12*time.Second || age > 13*time.Second {
			t.Errorf("the oldest is %v old, want 12 s", age)
		}
		old := b.Chain()[0].Epoch
		for after, want := range map[buffer.Key]string{
			{Epoch: old, Position: 0}:                "1:2",
			{Epoch: old, Position: 1}:                "0:3",
			{Epoch: old, Position: 99}:               "0:3",
			{Epoch: old, Position: 1<<64 - 1}:        "0:3",
			{Epoch: b.Epoch(), Position: 0}:          "1:4",
			{Epoch: b.Epoch(), Position: 1}:          "",
			{Epoch: buffer.Epoch{1, 2}, Position: 7}: "0:1", // not known: from the start
		} {
			s, ok, err := b.Next(buffer.Backlog, &after)
			var got []buffer.Stored
			if ok {
				got = append(got, s)
			}
			if err != nil || show(t, got) != want {
				t.Errorf("behind %x/%d: %q, %v, want %q", after.Epoch[10:], after.Position, show(t, got), err, want)
			}
		}
	})
}
