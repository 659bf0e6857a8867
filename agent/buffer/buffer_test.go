package buffer_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon.internal/agent/buffer"
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
	for i, err := range []error{appendErr, nextErr, getErr, cursorErr, b.Ack(b.Epoch(), set(0, 1)), b.WaitSpace(context.Background()), b.NewEpoch(set(0, 1))} {
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
