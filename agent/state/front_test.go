package state_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"andon.internal/agent/internal/disktest"
	"andon.internal/agent/state"
)

func front(t *testing.T, path string) *state.Front {
	t.Helper()
	f := state.NewFront(state.FrontOptions{})
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	if path != "" {
		attach(t, f, path)
	}
	return f
}

func attach(t *testing.T, f *state.Front, path string) {
	t.Helper()
	s, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Attach(s); err != nil {
		t.Fatal(err)
	}
}

// TestFrontIsOnDisk: with a disk that answers, a change is there when the call returns.
func TestFrontIsOnDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	f := state.NewFront(state.FrontOptions{Patience: time.Minute})
	attach(t, f, path)
	for _, err := range []error{f.Put("a", "x", []byte("1")), f.Put("a", "y", nil), f.Put("a", "z", []byte("2")), f.Delete("a", "z")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for want := uint64(1); want < 4; want++ {
		if n, err := f.Next("session"); n != want || err != nil {
			t.Errorf("Next = %d, %v, want %d", n, err, want)
		}
	}
	if since, err := f.Behind(); !since.IsZero() || err != nil {
		t.Errorf("behind since %v: %v", since, err)
	}
	if f.Written() == 0 {
		t.Error("nothing was counted as written")
	}
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if err := f.Put("a", "x", nil); !errors.Is(err, state.ErrClosed) {
		t.Errorf("Put after Close: %v", err)
	}
	s := open(t, path)
	for key, want := range map[string]string{"x": "1", "y": ""} {
		if v, err := s.Get("a", key); v == nil || string(v) != want || err != nil {
			t.Errorf("%s is %q, %v, want %q", key, v, err, want)
		}
	}
	if v, err := s.Get("a", "z"); v != nil || err != nil {
		t.Errorf("z is %q, %v", v, err)
	}
	if n, err := s.Next("session"); n != 4 || err != nil {
		t.Errorf("the store counts on at %d, %v", n, err)
	}
}

// TestFrontWithoutADisk: numbers never repeat, whatever the disk then turns out to have.
func TestFrontWithoutADisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	if err := s.Put("a", "x", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next("session"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]bool{1: true}
	last := uint64(0)
	next := func(f *state.Front) {
		t.Helper()
		n, err := f.Next("session")
		if err != nil || seen[n] || n <= last {
			t.Errorf("Next = %d, %v, after %d", n, err, last)
		}
		seen[n], last = true, n
	}
	f := front(t, "")
	if err := f.Put("a", "x", []byte("2")); !errors.Is(err, state.ErrNoStore) {
		t.Errorf("Put: %v", err)
	}
	if v, err := f.Get("a", "x"); v != nil || err != nil {
		t.Errorf("x is %q, %v", v, err)
	}
	next(f)
	next(f)
	if last < 1<<40 || last > 1<<53 {
		t.Errorf("%d is not far above what is counted, or no number for JSON", last)
	}
	attach(t, f, path)
	next(f)
	if v, err := f.Get("a", "x"); string(v) != "1" || err != nil {
		t.Errorf("x is %q, %v", v, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	next(front(t, path))
}

// TestFrontOfAStuckDisk: a disk that hangs is waited for once, and has everything when it
// answers again.
func TestFrontOfAStuckDisk(t *testing.T) {
	disk := disktest.Mount(t, 16<<20)
	path := filepath.Join(disk.Dir, "state.db")
	f := front(t, path)
	if n, err := f.Next("session"); n != 1 || err != nil {
		t.Fatalf("Next = %d, %v", n, err)
	}
	disk.Freeze()
	first := make(chan error, 1)
	go func() { first <- f.Put("runs", "line", nil) }()
	time.Sleep(10 * time.Millisecond) // mostly it is being written then, and not late yet
	if err := f.Note("runs", "count", []byte("7")); err != nil {
		t.Fatal(err)
	}
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for i := range 20 {
		if err := f.Put("runs", "line", []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("20 changes took %v: all of them waited", took)
	}
	if n, err := f.Next("session"); n < 1<<40 || err != nil {
		t.Errorf("Next = %d, %v: it is not on disk", n, err)
	}
	if v, err := f.Get("runs", "line"); string(v) != "\x13" || err != nil {
		t.Errorf("the last change is %q, %v", v, err)
	}
	if since, _ := f.Behind(); since.IsZero() {
		t.Error("it does not say that the disk is late")
	}
	disk.Thaw()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		since, _ := f.Behind()
		if since.IsZero() {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the disk never caught up")
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	for key, want := range map[string]string{"line": "\x13", "count": "7"} {
		if v, err := s.Get("runs", key); string(v) != want || err != nil {
			t.Errorf("%s on disk is %q, %v", key, v, err)
		}
	}
	if err := s.Close(); err != nil { // before the disk goes
		t.Fatal(err)
	}
}

// TestNote: what is noted is known at once, goes with the next change, after a while by
// itself, and with Close; what is noted twice is written once.
func TestNote(t *testing.T) {
	dir := t.TempDir()
	tries := map[string]func(f *state.Front) error{
		"the next change": func(f *state.Front) error { return f.Put("a", "y", []byte("2")) },
		"its time":        nil,
		"the end":         func(f *state.Front) error { return f.Close() },
	}
	for name, then := range tries {
		t.Run(name, func(t *testing.T) {
			o := state.FrontOptions{Patience: time.Minute, NoteIn: time.Hour}
			if then == nil {
				o.NoteIn = 2 * time.Second // both notes are behind by then, and one transaction writes them
			}
			f := state.NewFront(o)
			defer f.Close()
			attach(t, f, filepath.Join(dir, name))
			before := f.Written()
			for _, v := range []string{"0", "1"} {
				if err := f.Note("a", "x", []byte(v)); err != nil {
					t.Fatal(err)
				}
			}
			if v, err := f.Get("a", "x"); string(v) != "1" || err != nil {
				t.Errorf("x is %q, %v", v, err)
			}
			if n := f.Written() - before; n != 0 && then != nil {
				t.Errorf("%d bytes were written for a note", n)
			}
			if then != nil {
				if err := then(f); err != nil {
					t.Fatal(err)
				}
			}
			for limit := time.Now().Add(30 * time.Second); f.Written() == before; time.Sleep(time.Millisecond) {
				if time.Now().After(limit) {
					t.Fatal("the note was never written")
				}
			}
			if n := f.Written() - before; n > 8*4096 {
				t.Errorf("%d bytes were written: more than one transaction", n)
			}
			disk, err := os.ReadFile(filepath.Join(dir, name)) // what a crash would leave
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name+" then"), disk, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			s := open(t, filepath.Join(dir, name+" then"))
			if v, err := s.Get("a", "x"); string(v) != "1" || err != nil {
				t.Errorf("x on disk is %q, %v", v, err)
			}
		})
	}
	f := front(t, "")
	if err := f.Note("a", "x", nil); !errors.Is(err, state.ErrNoStore) {
		t.Errorf("Note without a store: %v", err)
	}
}
