package buffer_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/buffer"
	"andon.internal/agent/internal/disktest"
)

// mounted returns the folder of a small file system of its own, which is gone after the
// test.
func mounted(t *testing.T, size int64) string { return disktest.Mount(t, size).Dir }

// occupy writes a file of somebody else's until nothing is left of the file system but
// about so many bytes.
func occupy(t *testing.T, dir string, leave int64) (path string) {
	t.Helper()
	path = filepath.Join(dir, "foreign")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int64{1 << 20, 4 << 10} {
		chunk := make([]byte, size)
		for {
			var system syscall.Statfs_t
			if err := syscall.Statfs(dir, &system); err != nil {
				t.Fatal(err)
			}
			if leave > 0 && system.Bavail*uint64(system.Bsize) < uint64(leave+size) {
				break
			}
			if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// TestSomebodyFillsTheDisk: the limit of the disk is far away, and there is no space: the
// oldest readings make room for the newest, each of them is told, and when there is
// space again the files grow again.
func TestSomebodyFillsTheDisk(t *testing.T) {
	reg := prometheus.NewRegistry()
	root := mounted(t, 48<<20)
	o := small(filepath.Join(root, "buffer"))
	o.Metrics = buffer.NewMetrics(reg)
	b := open(t, o)
	ballast := filepath.Join(o.Dir, "ballast")
	within(t, "there is ballast", func() bool { return exists(ballast) })
	pour(t, b, 1, 800)
	foreign := occupy(t, root, 0)
	pour(t, b, 801, 800)
	st := b.Stats()
	if !st.NoSpace || st.LostRecords == 0 || st.LostRecords > 1200 || st.WriteError != nil || exists(ballast) {
		t.Errorf("without space: %+v, ballast %v", st, exists(ballast))
	}
	if m := counters(t, reg); m["andon_buffer_no_space"] != 1 || m["andon_buffer_no_space_total"] == 0 {
		t.Errorf("metrics %v", m)
	}
	x := taleOf(t, b)
	x.accounted(t, b.Chain()[0].Next, st.LostRows)
	if len(x.ids) < 400 || x.ids[len(x.ids)-1] != 1600 || x.ids[len(x.ids)-1]-x.ids[0] != len(x.ids)-1 {
		t.Errorf("%d records are held: %v", len(x.ids), x.ids)
	}
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	within(t, "there is space", func() bool { return !b.Stats().NoSpace && exists(ballast) })
	lost := b.Stats().LostRecords
	pour(t, b, 1601, 800)
	if now := b.Stats().LostRecords; now != lost {
		t.Errorf("with space again %d records were lost", now-lost)
	}
}

// TestNoSpaceForWhatCanBeReadAgain: where there is no space, nothing that is held is lost for
// what a source brings that can be read again, nor what it brings: it waits in memory, and then
// the source does.
func TestNoSpaceForWhatCanBeReadAgain(t *testing.T) {
	root := mounted(t, 48<<20)
	b := open(t, small(filepath.Join(root, "buffer")))
	next := 1
	read := func(until int) error {
		for ; next <= until; next++ {
			it := buffer.Item{Data: payload(next, 10_000), Label: "u", Rows: 2, First: int64(next) + 1, Last: int64(next) + 2}
			if _, err := b.Append([]buffer.Item{it}, &buffer.Cursor{Name: "file", Data: []byte(strconv.Itoa(next))}); err != nil {
				return err
			}
		}
		return nil
	}
	waits := func(until int) {
		t.Helper()
		within(t, "the source goes on", func() bool {
			err := read(until)
			if err != nil && !errors.Is(err, buffer.ErrFull) {
				t.Fatal(err)
			}
			return err == nil
		})
	}
	within(t, "there is ballast", func() bool { return exists(filepath.Join(root, "buffer", "ballast")) })
	waits(800)
	written(t, b)
	foreign := occupy(t, root, 0)
	within(t, "the source has to wait", func() bool { return errors.Is(read(100_000), buffer.ErrFull) && b.Stats().NoSpace })
	if st := b.Stats(); st.LostRecords != 0 || !st.NoSpace {
		t.Errorf("without space: %+v", st)
	}
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	within(t, "there is space", func() bool { return !b.Stats().NoSpace })
	waits(next + 50)
	written(t, b)
	x := taleOf(t, b)
	if x.accounted(t, uint64(next-1), 0); len(x.ids) != next-1 || b.Stats().LostRecords != 0 {
		t.Errorf("%d of %d records are held; %+v", len(x.ids), next-1, b.Stats())
	}
}

// TestNoSpaceDropNewest: what is held stays, what comes is lost when memory is full, and an
// alarm reaches the disk.
func TestNoSpaceDropNewest(t *testing.T) {
	root := mounted(t, 32<<20)
	o := small(filepath.Join(root, "buffer"))
	o.Policy = buffer.DropNewest
	b := open(t, o)
	within(t, "there is ballast", func() bool { return exists(filepath.Join(o.Dir, "ballast")) })
	pour(t, b, 1, 300)
	foreign := occupy(t, root, 0)
	for i := range 400 {
		it := buffer.Item{Data: payload(i, 10_000), Label: "u", Rows: 2, First: 1, Last: 2}
		if _, err := b.Append([]buffer.Item{it}, nil); err != nil {
			t.Fatal(err)
		}
	}
	within(t, "the disk has no space", func() bool { return b.Stats().WriteError != nil })
	first, err := b.Append([]buffer.Item{{Class: buffer.Alarm, Data: payload(1, 300)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	within(t, "the alarm is on disk", func() bool {
		s, _, err := b.Get(buffer.Key{Epoch: b.Epoch(), Position: first})
		return err == nil && s.OnDisk
	})
	x := taleOf(t, b)
	if x.ids[0] != 1 || x.alarms != 1 || b.Stats().LostRecords < 200 {
		t.Errorf("the oldest is %d, %d alarms, %+v", x.ids[0], x.alarms, b.Stats())
	}
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	written(t, b)
	x = taleOf(t, b)
	x.accounted(t, b.Chain()[0].Next, b.Stats().LostRows)
}

// TestNoSpaceAtTheStart: what the ballast gives back is enough to open.
func TestNoSpaceAtTheStart(t *testing.T) {
	root := mounted(t, 16<<20)
	o := small(filepath.Join(root, "buffer"))
	b := open(t, o)
	within(t, "there is ballast", func() bool { return exists(filepath.Join(o.Dir, "ballast")) })
	pour(t, b, 1, 50)
	closeChecked(t, b)
	if err := os.Remove(filepath.Join(o.Dir, "chain.db")); err != nil { // so that the start needs space
		t.Fatal(err)
	}
	foreign := occupy(t, root, 0)
	b = open(t, o)
	if x := taleOf(t, b); len(x.ids) != 50 {
		t.Errorf("%d records are held", len(x.ids))
	}
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	within(t, "there is ballast again", func() bool { return exists(filepath.Join(o.Dir, "ballast")) })
}

// TestNoSpaceForLong: the space that the ballast gave back is used up, the agent is
// restarted again and again, and what is appended comes to the disk each time.
func TestNoSpaceForLong(t *testing.T) {
	root := mounted(t, 32<<20)
	o := small(filepath.Join(root, "buffer"))
	b := open(t, o)
	within(t, "there is ballast", func() bool { return exists(filepath.Join(o.Dir, "ballast")) })
	pour(t, b, 1, 300)
	occupy(t, root, 0)
	pour(t, b, 301, 600)
	for i := range 10 {
		if err := buffer.Abandon(b); err != nil {
			t.Fatal(err)
		}
		b = open(t, o)
		pour(t, b, 901+i*100, 100)
		if st := b.Stats(); !st.NoSpace || st.WriteError != nil || st.LostRecords > 400 {
			t.Errorf("restart %d: %+v", i, st)
		}
	}
}

// TestNoSpaceToBegin: the ballast is there, and gives the space that the new epoch needs.
func TestNoSpaceToBegin(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	ballast := filepath.Join(o.Dir, "ballast")
	within(t, "there is ballast", func() bool { return exists(ballast) })
	pour(t, b, 1, 50)
	closeChecked(t, b)
	dropped := false
	o.SetStep(func(name string) error {
		if name != "begin" {
			return nil
		}
		if exists(ballast) {
			return &fs.PathError{Op: "write", Path: "chain.db", Err: syscall.ENOSPC}
		}
		dropped = true
		return nil
	})
	b = open(t, o)
	if x := taleOf(t, b); len(x.ids) != 50 || !dropped {
		t.Errorf("%d records are held, ballast dropped %v", len(x.ids), dropped)
	}
}

// TestSpaceWithoutBallast: that the ballast cannot be made does not keep the buffer to the
// files that it has when there is space again.
func TestSpaceWithoutBallast(t *testing.T) {
	o := small(t.TempDir())
	if err := os.MkdirAll(filepath.Join(o.Dir, "ballast", "in-the-way"), 0o700); err != nil {
		t.Fatal(err)
	}
	var full atomic.Bool
	o.SetStep(func(name string) error {
		if name == "write" && full.Load() {
			return &fs.PathError{Op: "write", Path: "record file", Err: syscall.ENOSPC}
		}
		return nil
	})
	b := open(t, o)
	full.Store(true)
	if _, err := b.Append(items(1), nil); err != nil {
		t.Fatal(err)
	}
	within(t, "the disk has no space", func() bool { return b.Stats().NoSpace })
	full.Store(false)
	within(t, "there is space", func() bool { return !b.Stats().NoSpace })
}
