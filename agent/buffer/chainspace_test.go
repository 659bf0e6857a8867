package buffer_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"andon.internal/agent/buffer"
)

// TestChainFileWithoutSpace: that it takes nothing is told once, until it does; it is then written
// though nothing else asks for that.
func TestChainFileWithoutSpace(t *testing.T) {
	o := small(t.TempDir())
	var full atomic.Bool
	full.Store(true)
	o.SetStep(func(name string) error {
		if (name == "note" || name == "mend") && full.Load() {
			return syscall.ENOSPC
		}
		return nil
	})
	var told atomic.Int64
	o.Logger = slog.New(handler(func(r slog.Record) {
		if r.Message == "cannot write the chain of epochs" {
			told.Add(1)
		}
	}))
	b := open(t, o)
	appendAt(t, b, 0, items(0), nil)
	written(t, b) // with the name of the file, which is written
	before := told.Load()
	for i := range 5 {
		appendAt(t, b, uint64(i+1), items(i+1), nil)
		written(t, b)
		if b.Stats().ChainError == nil {
			t.Error("it is not told")
		}
	}
	if n := told.Load() - before; n > 1 {
		t.Errorf("it is logged %d times", n)
	}
	full.Store(false)
	within(t, "it is written", func() bool { return b.Stats().ChainError == nil })
}

// TestChainFileHasWhatFoundNoSpace: whatever of it that was, and also where it takes something else
// meanwhile.
func TestChainFileHasWhatFoundNoSpace(t *testing.T) {
	full := func(t *testing.T, b *buffer.Buffer, dir string, on func()) {
		t.Helper()
		restore := replaceFD(t, filepath.Join(dir, "chain.db"), "/dev/full")
		on()
		within(t, "it is told", func() bool { return b.Stats().ChainError != nil })
		restore()
	}
	t.Run("the end of an epoch", func(t *testing.T) {
		o := small(t.TempDir())
		var b *buffer.Buffer
		var restore func()
		o.SetStep(func(name string) error {
			switch {
			case b == nil:
			case name == "begin": // so that it ends behind what is written with the new epoch
				appendAt(t, b, 2, items(2), nil)
			case name == "end":
				restore = replaceFD(t, filepath.Join(o.Dir, "chain.db"), "/dev/full")
			}
			return nil
		})
		opened, err := buffer.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		appendAt(t, opened, 0, items(0, 1), nil)
		written(t, opened)
		b = opened
		if err := b.NewEpoch(set(0, 3)); err != nil {
			t.Fatal(err)
		}
		if b.Stats().ChainError == nil {
			t.Fatal("it is not told")
		}
		restore()
		appendAt(t, b, 0, items(3), nil)
		written(t, b)
		within(t, "all is written", func() bool { return b.Stats().ChainError == nil })
		if err := buffer.Abandon(b); err != nil {
			t.Fatal(err)
		}
		o.SetStep(nil)
		b = open(t, o)
		if got, want := (epochNames{}).text(t, b), "1<- closed 3 [0,3); 2<1 unclean 1 [0,1); 3<2 open 0 "; got != want {
			t.Errorf("the chain is %s, want %s", got, want)
		}
	})
	t.Run("an epoch is forgotten", func(t *testing.T) {
		o := small(t.TempDir())
		closeChecked(t, open(t, o))
		b := open(t, o)
		old := b.Chain()[0].Epoch
		full(t, b, o.Dir, func() { b.Settle([]buffer.Epoch{old}) })
		within(t, "all is written", func() bool { return b.Stats().ChainError == nil })
		closeChecked(t, b)
		b = open(t, o)
		if n := len(b.Chain()); n != 2 {
			t.Errorf("there are %d epochs", n)
		}
	})
	t.Run("the file with the cursors", func(t *testing.T) {
		o, _ := filled(t, 3, 10_000)
		var restore func()
		path := filepath.Join(o.Dir, "chain.db")
		watch := false
		o.SetStep(func(name string) error {
			switch {
			case !watch:
			case name == "create" && restore == nil:
				restore = replaceFD(t, path, "/dev/full")
			case name == "write" && restore != nil:
				restore()
				watch = false
			}
			return nil
		})
		b := open(t, o)
		appendAt(t, b, 0, items(3), &buffer.Cursor{Name: "c", Data: []byte("first")})
		written(t, b)
		old := buffer.ActivePath(b)
		watch = true
		for i := 1; buffer.ActivePath(b) == old; i++ {
			appendAt(t, b, uint64(i), []buffer.Item{{Data: payload(9, 10_000)}}, nil)
			written(t, b)
		}
		if watch || b.Stats().ChainError == nil {
			t.Fatal("the chain file took it")
		}
		if _, err := b.Append(nil, &buffer.Cursor{Name: "c", Data: []byte("second")}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Append(nil, &buffer.Cursor{Name: "another", Data: []byte("is noted")}); err != nil {
			t.Fatal(err)
		}
		written(t, b)
		within(t, "all is written", func() bool { return b.Stats().ChainError == nil })
		crashed := small(t.TempDir())
		if err := image(o.Dir, crashed.Dir); err != nil {
			t.Fatal(err)
		}
		rewrite(t, filepath.Join(crashed.Dir, filepath.Base(buffer.ActivePath(b))), zero)
		b = open(t, crashed)
		if c, err := b.Cursor("c"); !errors.Is(err, buffer.ErrCursorLost) {
			t.Errorf("the cursor is %q, %v", c, err)
		}
	})
}

// TestCloseWritesTheChainAgain: where there is space again behind its last flush, Close leaves
// nothing of the chain file out.
func TestCloseWritesTheChainAgain(t *testing.T) {
	o := small(t.TempDir())
	var full atomic.Bool
	var mends, again atomic.Int64
	o.SetStep(func(name string) error {
		if name == "mend" && full.Load() && mends.Add(1) > 1 {
			full.Store(false)
		}
		if (name == "note" || name == "mend") && full.Load() {
			return syscall.ENOSPC
		}
		return nil
	})
	o.Logger = slog.New(handler(func(r slog.Record) {
		if r.Message == "the chain of epochs is written again" {
			again.Add(1)
		}
	}))
	full.Store(true)
	b := open(t, o)
	appendAt(t, b, 0, items(0), nil)
	written(t, b)
	if b.Stats().ChainError == nil {
		t.Fatal("the chain file took it")
	}
	mends.Store(0)
	if err := b.Close(); err != nil || mends.Load() < 2 || again.Load() != 1 {
		t.Errorf("closed with %v; it was tried %d times, and written %d times", err, mends.Load(), again.Load())
	}
}
