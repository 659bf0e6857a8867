package buffer_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/internal/disktest"
)

// TestNobodyWaitsForATransaction: while one hangs in the disk, for as long as that likes,
// readings go into the buffer, and those of a buffer that writes behind come out of it.
func TestNobodyWaitsForATransaction(t *testing.T) {
	const last = 50
	for name, ahead := range map[string]bool{"behind": false, "ahead": true} {
		t.Run(name, func(t *testing.T) {
			disk := disktest.Mount(t, 48<<20)
			o := small(filepath.Join(disk.Dir, "d"))
			o.WriteAhead = ahead
			var begun, ended atomic.Int64
			o.SetStep(func(name string) error {
				switch name {
				case "write":
					begun.Add(1)
				case "written":
					ended.Add(1)
				}
				return nil
			})
			b := open(t, o)
			appendAt(t, b, 0, items(0), nil)
			written(t, b)
			disk.Freeze()
			defer disk.Thaw()
			appendAt(t, b, 1, items(1), nil)
			within(t, "a transaction hangs", func() bool { return begun.Load() > ended.Load() && waitsForDisk(t) })
			under := ended.Load()

			done := make(chan error, 1)
			go func() { done <- appendAndRead(b, 2, last, ahead) }()
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
				if !waitsForDisk(t) || ended.Load() != under {
					t.Error("the transaction did not hang meanwhile")
				}
			case <-time.After(30 * time.Second):
				t.Error("Append or Next waits for the disk")
				disk.Thaw()
				<-done
			}
			disk.Thaw()
			written(t, b)
			wantIDs(t, b, 0, last)
		})
	}
}

// TestOverdue: a disk that hangs shows, whatever the linger is; readings that wait for it do not.
func TestOverdue(t *testing.T) {
	disk := disktest.Mount(t, 48<<20)
	o := small(filepath.Join(disk.Dir, "d"))
	o.Linger = time.Minute
	b := open(t, o)
	appendAt(t, b, 0, items(0), nil)
	disk.Freeze()
	defer disk.Thaw()
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if late := b.Stats().Overdue; late > 0 {
			t.Fatalf("what lingers is late by %v", late)
		}
	}
	alarm := items(1)
	alarm[0].Class = buffer.Alarm
	appendAt(t, b, 1, alarm, nil)
	within(t, "the alarm is overdue", func() bool { return b.Stats().Overdue > time.Second })
	disk.Thaw()
	within(t, "it is written", func() bool { return b.Stats().Overdue == 0 })
}

// appendAndRead appends the records from to to-1, and reads what is live after each.
func appendAndRead(b *buffer.Buffer, from, to int, ahead bool) error {
	for id := from; id < to; id++ {
		if at, err := b.Append(items(id), nil); err != nil || at != uint64(id) {
			return fmt.Errorf("append: position %d, %w", at, err)
		}
		n := 0
		for after := (*buffer.Key)(nil); ; n++ {
			s, ok, err := b.Next(buffer.Live, after)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			after = &s.Key
		}
		if !ahead && n < id {
			return fmt.Errorf("%d records come out of %d", n, id+1)
		}
	}
	return nil
}

// waitsForDisk reports whether a thread of this process does: it cannot be interrupted.
func waitsForDisk(t *testing.T) bool {
	t.Helper()
	stats, err := filepath.Glob("/proc/self/task/*/stat")
	if err != nil || len(stats) == 0 {
		t.Fatalf("this test needs /proc: %v", err)
	}
	for _, path := range stats {
		text, _ := os.ReadFile(path) // a thread may have ended
		if _, state, ok := bytes.Cut(text, []byte(") ")); ok && bytes.HasPrefix(state, []byte("D")) {
			return true
		}
	}
	return false
}
