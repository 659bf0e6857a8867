package roster_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"andon.internal/agent/internal/disktest"
	"andon.internal/agent/roster"
	"andon.internal/agent/state"
)

// TestAStuckDiskHoldsNoUnitUp: units come and go while every write hangs, and are on disk
// when that is over.
func TestAStuckDiskHoldsNoUnitUp(t *testing.T) {
	disk := disktest.Mount(t, 16<<20)
	path := filepath.Join(disk.Dir, "state.db")
	f := state.NewFront(state.FrontOptions{})
	s, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Attach(s); err != nil {
		t.Fatal(err)
	}
	r := open(t, f)
	if err := r.Births("s", run("a", 1, 0)); err != nil {
		t.Fatal(err)
	}
	disk.Freeze()
	done := make(chan error, 1)
	go func() {
		for i := range 20 {
			if err := r.Births("s", run(fmt.Sprintf("u%02d", i), 1, 0)); err != nil {
				done <- err
				return
			}
			if err := r.Deaths("s", fmt.Sprintf("u%02d", i-1)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("units wait for the disk")
	}
	if got := brief(r.Active()); got != "a/1/0 u19/1/0" {
		t.Errorf("on test: %q", got)
	}
	disk.Thaw()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	kv := store(t, disk.Dir)
	if got := brief(open(t, kv).Active()); got != "a/1/0 u19/1/0" {
		t.Errorf("on disk: %q", got)
	}
	if err := kv.Close(); err != nil { // before the disk goes
		t.Fatal(err)
	}
}

// TestReload: what a disk has that came late stands behind what is known.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	kv := store(t, dir)
	r := open(t, kv)
	for source, unit := range map[string]string{"live": "old", "file": "kept", "gone": "left"} {
		if err := r.Births(source, run(unit, 1, 7)); err != nil {
			t.Fatal(err)
		}
	}
	if err := kv.Close(); err != nil {
		t.Fatal(err)
	}
	f := state.NewFront(state.FrontOptions{})
	r, err := roster.Open(f, roster.Options{Late: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Births("live", run("new", 2, 0)); err != nil {
		t.Fatal(err)
	}
	s, err := state.Open(filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Attach(s); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Births("live", run("newer", 3, 0)), r.Save()); err != nil { // before it is read
		t.Fatal(err)
	}
	if err := r.Reload("live"); err != nil {
		t.Fatal(err)
	}
	const want = "kept/1/7 left/1/7 new/2/0 newer/3/0"
	if got := brief(r.Active()); got != want {
		t.Errorf("on test: %q, want %q", got, want)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := brief(open(t, store(t, dir)).Active()); got != want {
		t.Errorf("on disk: %q, want %q", got, want)
	}
}
