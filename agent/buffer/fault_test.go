package buffer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"andon.internal/agent/buffer"
)

// replaceFD puts another file under the descriptor by which this process has path
// open, so that the disk under it behaves as that file does. The returned function
// puts it back.
func replaceFD(t *testing.T, path, with string) (restore func()) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatalf("this test needs /proc: %v", err)
	}
	for _, e := range fds {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err != nil || target != path {
			continue
		}
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		saved, err := syscall.Dup(fd)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(with, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := syscall.Dup3(int(f.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		return func() {
			// The buffer may have closed the descriptor: then there is nothing to restore.
			if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && target == with {
				if err := syscall.Dup3(saved, fd, syscall.O_CLOEXEC); err != nil {
					t.Error(err)
				}
			}
			if err := syscall.Close(saved); err != nil {
				t.Error(err)
			}
		}
	}
	t.Fatalf("%s is not open", path)
	return nil
}

// TestWriteError: a file that failed to take a write or a sync is not written again,
// what was in it stays readable, and nothing is lost.
func TestWriteError(t *testing.T) {
	for name, with := range map[string]string{
		"sync":  "/dev/null", // takes writes, and answers a sync with EINVAL
		"write": "/proc/self/cmdline",
	} {
		t.Run(name, func(t *testing.T) {
			if with != "/dev/null" {
				with = filepath.Join(t.TempDir(), "pipe")
				if err := syscall.Mkfifo(with, 0o600); err != nil {
					t.Fatalf("this test needs TMPDIR on a file system with named pipes: %v", err)
				}
			}
			o := small(t.TempDir())
			b := open(t, o)
			appendAt(t, b, 0, items(0, 1, 2), nil)
			written(t, b)
			path := buffer.ActivePath(b)
			restore := replaceFD(t, path, with)
			appendAt(t, b, 3, items(3, 4), &buffer.Cursor{Name: "c", Data: []byte("5")})
			written(t, b)
			restore()
			if now := buffer.ActivePath(b); now == path || now == "" {
				t.Fatalf("the file is still written: %s", now)
			}
			if _, err := os.Stat(strings.TrimSuffix(path, ".db") + ".sealed.db"); err != nil {
				t.Error(err)
			}
			wantLane(t, b, buffer.Backlog, "0:0 1:1 2:2 3:3 4:4")
			_ = b.Ack(b.Epoch(), set(0, 1))
			if st := b.Stats(); st.WriteError != nil || st.Files != 2 {
				t.Errorf("stats %+v", st)
			}
			closeChecked(t, b)
			b = open(t, o) // position 0 comes again: its delete could not be written
			wantLane(t, b, buffer.Backlog, "0:0 1:1 2:2 3:3 4:4")
			if c, err := b.Cursor("c"); err != nil || string(c) != "5" {
				t.Errorf("cursor %q, %v", c, err)
			}
			_ = b.Ack(b.Chain()[0].Epoch, set(0, 3))
			within(t, "the sealed file is unlinked", func() bool { return b.Stats().Files == 1 })
			closeChecked(t, b)
			b = open(t, o)
			wantLane(t, b, buffer.Backlog, "3:3 4:4")
		})
	}
}

// TestDiskFull: a write that finds no space is tried again in the same file.
func TestDiskFull(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	appendAt(t, b, 0, items(0), nil)
	appendAt(t, b, 1, []buffer.Item{{Data: payload(9, 15_000)}, {Data: payload(9, 15_000)}}, nil)
	written(t, b)
	_ = b.Ack(b.Epoch(), set(1, 3)) // leaves free pages: growing fails in another way
	path := buffer.ActivePath(b)
	appendAt(t, b, 3, items(3), nil)
	written(t, b)
	restore := replaceFD(t, path, "/dev/full")
	appendAt(t, b, 4, items(1), nil)
	within(t, "the write failed", func() bool { return b.Stats().WriteError != nil })
	if err := b.Stats().WriteError; !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write error %v, want ENOSPC", err)
	}
	appendAt(t, b, 5, items(2), nil)
	wantLane(t, b, buffer.Backlog, "0:0 3:3 4:1 5:2")
	restore()
	written(t, b)
	if now := buffer.ActivePath(b); now != path {
		t.Errorf("another file is written: %s", now)
	}
	within(t, "the error is over", func() bool { return b.Stats().WriteError == nil })
	wantLane(t, b, buffer.Backlog, "0:0 3:3 4:1 5:2")
}

// TestNoDisk: while nothing can be written records stay in memory, up to its limit;
// afterwards they are written.
func TestNoDisk(t *testing.T) {
	o := small(t.TempDir())
	broken := make(chan struct{})
	o.SetStep(func(name string) error {
		select {
		case <-broken:
			return nil
		default:
		}
		if name == "write" || name == "create" {
			return errors.New("no disk")
		}
		return nil
	})
	b := open(t, o)
	appendAt(t, b, 0, items(0, 1), nil)
	appendAt(t, b, 2, items(2), &buffer.Cursor{Name: "c", Data: []byte("3")})
	within(t, "the write failed", func() bool { return b.Stats().WriteError != nil })
	wantLane(t, b, buffer.Backlog, "0:0 1:1")
	_ = b.Ack(b.Epoch(), set(0, 1))
	for n := 3; ; n++ {
		_, err := b.Append([]buffer.Item{{Data: payload(n, 10_000)}}, &buffer.Cursor{Name: "c", Data: fmt.Append(nil, n+1)})
		if errors.Is(err, buffer.ErrFull) {
			close(broken)
			if err := b.WaitSpace(t.Context()); err != nil {
				t.Fatal(err)
			}
			written(t, b)
			wantIDs(t, b, 1, n)
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestCloseFails: what cannot be written is not declared closed.
func TestCloseFails(t *testing.T) {
	o := small(t.TempDir())
	o.Linger = time.Hour
	var broken bool
	o.SetStep(func(name string) error {
		if broken && name == "write" {
			return errors.New("no disk")
		}
		return nil
	})
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	appendAt(t, b, 0, items(0), nil)
	broken = true
	if err := b.Close(); err == nil {
		t.Error("Close wrote to a broken disk")
	}
	b = open(t, small(o.Dir))
	if got, want := (epochNames{}).text(t, b), "1<- unclean 1 ; 2<1 open 0 "; got != want {
		t.Errorf("the chain is %s, want %s", got, want)
	}
}

// TestAppendDoesNotWait: not for a disk that hangs.
func TestAppendDoesNotWait(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	o := small(t.TempDir())
	o.SetStep(func(name string) error {
		if name == "write" || name == "create" {
			select {
			case held <- struct{}{}:
			default:
			}
			<-hold
		}
		return nil
	})
	b := open(t, o)
	defer close(hold)
	appendAt(t, b, 0, items(0), nil)
	<-held // the flusher is in the write now
	start := time.Now()
	for i := 1; i < 100; i++ {
		appendAt(t, b, uint64(i), items(i), nil)
	}
	wantIDs(t, b, 0, 100)
	_ = b.Ack(b.Epoch(), set(0, 50))
	b.Chain()
	b.Stats()
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.WaitSpace(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("WaitSpace: %v", err)
	}
}
