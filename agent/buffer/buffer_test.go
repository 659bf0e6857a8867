package buffer_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

func TestOptionsAreChecked(t *testing.T) {
	dir := t.TempDir()
	for name, o := range map[string]buffer.Options{
		"no folder":         {},
		"negative linger":   {Dir: dir, Linger: -1},
		"negative disk":     {Dir: dir, MaxDisk: -1},
		"files too small":   {Dir: dir, RotateBytes: 1 << 10},
		"disk of one file":  {Dir: dir, RotateBytes: 64 << 20, MaxDisk: 100 << 20},
		"records too large": {Dir: dir, MaxRecord: 1 << 30},
		"memory too small":  {Dir: dir, MaxMemory: 300 << 10},
	} {
		if b, err := buffer.Open(o); err == nil {
			b.Close()
			t.Errorf("%s: Open took it", name)
		}
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	open(t, small(dir))
	if _, err := buffer.Open(small(dir)); !errors.Is(err, buffer.ErrInUse) {
		t.Errorf("second Open: %v, want ErrInUse", err)
	}
}

func TestAppendRefuses(t *testing.T) {
	b := open(t, small(t.TempDir()))
	many := make([]buffer.Item, 4097)
	huge := make([]buffer.Item, 60)
	for i := range huge {
		huge[i].Data = payload(i, 16<<10)
	}
	for name, call := range map[string]func() (uint64, error){
		"too many":      func() (uint64, error) { return b.Append(many, nil) },
		"too much":      func() (uint64, error) { return b.Append(huge, nil) },
		"class loss":    func() (uint64, error) { return b.Append([]buffer.Item{{Class: buffer.Loss}}, nil) },
		"negative rows": func() (uint64, error) { return b.Append([]buffer.Item{{Rows: -1}}, nil) },
		"unnamed cursor": func() (uint64, error) {
			return b.Append(nil, &buffer.Cursor{})
		},
		"large cursor": func() (uint64, error) {
			return b.Append(nil, &buffer.Cursor{Name: "a", Data: make([]byte, 1<<20)})
		},
	} {
		if _, err := call(); err == nil || errors.Is(err, buffer.ErrFull) {
			t.Errorf("%s: %v", name, err)
		}
	}
	appendAt(t, b, 0, items(1), nil) // nothing above took a position
}

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

func TestAck(t *testing.T) {
	for name, c := range map[string]struct {
		acks []ranges.Set
		want string
	}{
		"none":        {nil, "0:0 1:1 2:2 3:3 4:4 5:5"},
		"last first":  {[]ranges.Set{set(5, 6), set(0, 1)}, "1:1 2:2 3:3 4:4"},
		"repeated":    {[]ranges.Set{set(1, 3), set(1, 3)}, "0:0 3:3 4:4 5:5"},
		"overlapping": {[]ranges.Set{set(1, 3), set(2, 5)}, "0:0 5:5"},
		"unknown":     {[]ranges.Set{set(6, 1<<62), set(100, 101)}, "0:0 1:1 2:2 3:3 4:4 5:5"},
		"holes":       {[]ranges.Set{ranges.Of(ranges.Range{From: 0, To: 1}, ranges.Range{From: 2, To: 3}, ranges.Range{From: 4, To: 9})}, "1:1 3:3"},
		"all":         {[]ranges.Set{set(0, 1<<62)}, ""},
	} {
		for _, when := range []string{"in memory", "on disk", "after a restart"} {
			t.Run(name+" "+when, func(t *testing.T) {
				dir := t.TempDir()
				o := small(dir)
				if when == "in memory" {
					o.Linger = time.Hour
				}
				b := open(t, o)
				appendAt(t, b, 0, items(0, 1, 2, 3, 4, 5), nil)
				epoch := b.Epoch()
				if when != "in memory" {
					written(t, b)
				}
				if when == "after a restart" {
					closeChecked(t, b)
					b = open(t, o)
				}
				for _, s := range c.acks {
					if err := b.Ack(epoch, s); err != nil {
						t.Fatal(err)
					}
					if err := b.Ack(buffer.Epoch{9}, s); err != nil {
						t.Errorf("an epoch that is not known: %v", err)
					}
				}
				wantLane(t, b, buffer.Backlog, c.want)
				closeChecked(t, b)
				b = open(t, o)
				wantLane(t, b, buffer.Backlog, c.want)
			})
		}
	}
}

// TestDeletesReachTheDisk: within a second, without a Close.
func TestDeletesReachTheDisk(t *testing.T) {
	dir := t.TempDir()
	b := open(t, small(dir))
	appendAt(t, b, 0, items(0, 1, 2, 3), nil)
	written(t, b)
	_ = b.Ack(b.Epoch(), set(0, 3))
	within(t, "the deletes are on disk", func() bool {
		to := filepath.Join(t.TempDir(), "image")
		if err := image(dir, to); err != nil {
			t.Fatal(err)
		}
		c, err := buffer.Open(small(to))
		if err != nil {
			return false // copied while it was being written
		}
		defer c.Close()
		return c.Stats().Records == 1
	})
}

func TestEmptyFilesAreUnlinked(t *testing.T) {
	dir := t.TempDir()
	b := open(t, small(dir))
	for i := range 400 {
		appendAt(t, b, uint64(i), []buffer.Item{{Data: payload(i, 10_000), Rows: 1}}, nil)
		if i%20 == 0 {
			written(t, b)
		}
	}
	written(t, b)
	if n := len(recordFiles(t, dir)); n < 4 {
		t.Fatalf("4 MB in files of 1 MB made %d files", n)
	}
	wantIDs(t, b, 0, 400)
	if n := buffer.Mapped(b); n > 3 {
		t.Errorf("%d files are mapped, want at most 3", n)
	}
	_ = b.Ack(b.Epoch(), set(0, 399))
	within(t, "files are unlinked", func() bool { return b.Stats().Files == 1 && len(recordFiles(t, dir)) == 1 })
	wantLane(t, b, buffer.Backlog, "399:399")
}

func wantIDs(t *testing.T, b *buffer.Buffer, from, to int) {
	t.Helper()
	list := all(t, b, buffer.Backlog)
	if len(list) != to-from {
		t.Fatalf("%d records, want %d", len(list), to-from)
	}
	for i, s := range list {
		if id, ok := idOf(s.Data); !ok || id != from+i {
			t.Fatalf("record %d is %d, %v", from+i, id, ok)
		}
	}
}

func TestFieldsComeBack(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	in := buffer.Item{
		Class: buffer.Alarm, Data: []byte(strings.Repeat("compresses well ", 100)), Label: strings.Repeat("x", 300),
		Rows: 7, First: -5, Last: 1 << 60,
	}
	before := time.Now()
	appendAt(t, b, 0, []buffer.Item{in, {}}, nil)
	epoch := b.Epoch()
	check := func(s buffer.Stored, ok bool, err error) {
		t.Helper()
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		if s.Class != in.Class || string(s.Data) != string(in.Data) || s.Label != in.Label[:255] || s.Rows != 7 ||
			s.First != -5 || s.Last != 1<<60 || s.Appended.Before(before.Add(-time.Second)) || s.Appended.After(time.Now()) {
			t.Errorf("came back as %+v", s)
		}
	}
	check(b.Get(buffer.Key{Epoch: epoch}))
	if st := b.Stats(); st.Rows != 7 || st.Records != 2 {
		t.Errorf("stats %+v", st)
	}
	closeChecked(t, b)
	b = open(t, o)
	check(b.Get(buffer.Key{Epoch: epoch}))
	if st := b.Stats(); st.Rows != 7 || st.Records != 2 || st.Bytes > 1000 {
		t.Errorf("stats %+v", st)
	}
	if _, ok, err := b.Get(buffer.Key{Epoch: epoch, Position: 2}); ok || err != nil {
		t.Errorf("a position that was never used: %v, %v", ok, err)
	}
}

func TestAfterClose(t *testing.T) {
	b := open(t, small(t.TempDir()))
	appendAt(t, b, 0, items(1), nil)
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	_, appendErr := b.Append(items(2), nil)
	_, _, nextErr := b.Next(buffer.Live, nil)
	_, _, getErr := b.Get(buffer.Key{})
	_, cursorErr := b.Cursor("x")
	for i, err := range []error{appendErr, nextErr, getErr, cursorErr, b.Ack(b.Epoch(), set(0, 1)), b.WaitSpace(context.Background()), b.NewEpoch()} {
		if !errors.Is(err, buffer.ErrClosed) {
			t.Errorf("call %d after Close: %v, want ErrClosed", i, err)
		}
	}
	if n := b.Requeue(b.Epoch(), set(0, 1)); n != 0 {
		t.Errorf("Requeue after Close = %d", n)
	}
}

// TestLeftovers: what a start that was cut off left behind is no hindrance.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	b := open(t, small(dir))
	appendAt(t, b, 0, items(1), nil)
	closeChecked(t, b)
	for _, name := range []string{"01ARZ3NDEKTSV4RRFFQ69G5FAV.db.tmp", "chain.db.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 5000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	b = open(t, small(dir))
	wantLane(t, b, buffer.Backlog, "0:1")
	if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(filepath.Join(dir, "notes.txt")); err != nil {
		t.Error(err)
	}
}
