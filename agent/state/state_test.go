package state_test

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"andon.internal/agent/state"
)

func open(t *testing.T, path string) *state.Store {
	t.Helper()
	s, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestNextNeverRepeats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "state.db")
	seen := map[uint64]bool{}
	for range 3 {
		s := open(t, path)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				n, err := s.Next("session")
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if seen[n] {
					t.Errorf("%d was returned twice", n)
				}
				seen[n] = true
			})
		}
		wg.Wait()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !seen[1] || !seen[12] {
		t.Errorf("counted %v, want 1 to 12", seen)
	}
}

func TestValuesOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	for _, err := range []error{
		s.Put("units", "a", []byte("1")),
		s.PutAll("units", map[string][]byte{"b": []byte("2"), "c": {}, "d": []byte("4")}),
		s.PutAll("units", nil),
		s.Put("units", "a", []byte("one")),
		s.Delete("units", "d"),
		s.Delete("units", "never"),
		s.Delete("nothing", "never"),
		s.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, path)
	got, err := s.All("units")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"a": []byte("one"), "b": []byte("2"), "c": {}}
	if !maps.EqualFunc(got, want, func(a, b []byte) bool { return string(a) == string(b) && a != nil }) {
		t.Errorf("All = %q, want %q", got, want)
	}
	for key, want := range map[string]string{"a": "one", "b": "2"} {
		if v, err := s.Get("units", key); err != nil || string(v) != want {
			t.Errorf("Get(%s) = %q, %v, want %q", key, v, err, want)
		}
	}
	for _, at := range [][2]string{{"units", "d"}, {"nothing", "a"}} {
		if v, err := s.Get(at[0], at[1]); err != nil || v != nil {
			t.Errorf("Get(%s, %s) = %q, %v, want nil", at[0], at[1], v, err)
		}
	}
	if all, err := s.All("nothing"); err != nil || len(all) != 0 {
		t.Errorf("All of an unknown bucket = %v, %v", all, err)
	}
	if err := s.Put("", "a", nil); err == nil {
		t.Error("Put took an empty bucket name")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	used := filepath.Join(dir, "used.db")
	open(t, used)
	broken, page := filepath.Join(dir, "broken.db"), filepath.Join(dir, "page.db")
	for path, size := range map[string]int{broken: 1 << 14, page: 1 << 12} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]error{used: state.ErrInUse, broken: state.ErrDamaged, page: state.ErrDamaged} {
		if s, err := state.Open(path); !errors.Is(err, want) {
			t.Errorf("Open(%s) = %v, %v, want %v", path, s, err, want)
		}
	}
}

func TestAfterClose(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	_, nextErr := s.Next("n")
	_, getErr := s.Get("b", "k")
	for _, err := range []error{nextErr, getErr, s.Put("b", "k", nil)} {
		if !errors.Is(err, state.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

// TestReadOnly: another process may read what lies there, and changes nothing.
func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	before := s.Written()
	if err := s.Put("b", "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if n := s.Written() - before; n < 2*4096 || n > 16*4096 {
		t.Errorf("a value of a byte took %d bytes", n)
	}
	if _, err := state.OpenReadOnly(path); !errors.Is(err, state.ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r, err := state.OpenReadOnly(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if v, err := r.Get("b", "k"); string(v) != "v" || err != nil {
			t.Errorf("reads %q, %v", v, err)
		}
		if r.Put("b", "k", nil) == nil {
			t.Error("it can be written")
		}
	}
	if is, err := os.ReadFile(path); err != nil || !bytes.Equal(is, was) {
		t.Errorf("it changed, %v", err)
	}
	for name, content := range map[string][]byte{"empty": {}, "garbage": bytes.Repeat([]byte("damage "), 1e4), "half": was[:len(was)/2]} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := state.OpenReadOnly(path); err == nil {
			// What is asked for may lie in the part that is there.
			if v, err := r.Get("b", "k"); string(v) != "v" && !errors.Is(err, state.ErrDamaged) {
				t.Errorf("%s: %q, %v", name, v, err)
			}
			_ = r.Close()
		} else if !errors.Is(err, state.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := state.OpenReadOnly(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}
