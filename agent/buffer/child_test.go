package buffer_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"andon.internal/agent/buffer"
)

// childLimit is how long a child may take: only of one that hangs it is waited for.
func childLimit(name string) time.Duration {
	if name == "child-hang" {
		return 300 * time.Millisecond
	}
	return 30 * time.Second
}

// TestChildThatFails: whatever becomes of the process that looks at a sound file, the
// buffer opens in time, and nothing is lost. Where the database may have been what ended
// it, the records are in a new file.
func TestChildThatFails(t *testing.T) {
	for name, salvaged := range map[string]bool{
		"child-hang":   false,
		"child-usage":  false,
		"child-cut":    false,
		"none":         false, // there is no such program
		"child-panic":  true,
		"child-killed": true,
	} {
		t.Run(name, func(t *testing.T) {
			o, _, path := crashed(t)
			if o.Child = childCommand(name); name == "none" {
				o.Child = []string{filepath.Join(t.TempDir(), name)}
			}
			o.SetChildLimit(childLimit(name))
			began := time.Now()
			b := open(t, o)
			if took := time.Since(began); took > 25*time.Second {
				t.Errorf("it took %s", took)
			}
			within(t, "all is told", func() bool { return buffer.OpenLosses(b) == 0 })
			wantLane(t, b, buffer.Backlog, "0:0 1:1 2:2")
			wantCursor(t, b, "replay", "two")
			if aside, _ := filepath.Glob(path + ".damaged-*"); (len(aside) == 1) != salvaged {
				t.Errorf("set aside: %v", aside)
			}
		})
	}
}

// TestSalvagedHere: where another process cannot salvage a damaged file, this one does.
func TestSalvagedHere(t *testing.T) {
	for _, name := range []string{"child-files", "child-hang", "child-killed", "child-panic"} {
		t.Run(name, func(t *testing.T) {
			o, _, path := crashed(t)
			rewrite(t, path, breakFreeList)
			o.Child = childCommand(name)
			o.SetChildLimit(childLimit(name))
			wantLane(t, open(t, o), buffer.Backlog, "0:0 1:1 2:2")
			if aside, _ := filepath.Glob(path + ".damaged-*"); len(aside) != 1 {
				t.Errorf("set aside: %v", aside)
			}
		})
	}
}

// TestSalvagedUnderItsName: records of a file whose index is broken come back under their
// own names, the damaged one is a loss of its own, and the next start finds all in order.
func TestSalvagedUnderItsName(t *testing.T) {
	o, epoch := filled(t, 12, 10_000)
	flip(t, o.Dir, 5, 10_000)
	rewrite(t, recordFiles(t, o.Dir)[0], breakFreeList)
	for range 2 {
		b := open(t, o)
		within(t, "the loss is told", func() bool { return len(all(t, b, buffer.Backlog)) == 12 })
		wantLane(t, b, buffer.Backlog, "0:0 1:1 2:2 3:3 4:4 6:6 7:7 8:8 9:9 10:10 11:11 0:loss damaged[5,6)")
		if s := b.Chain()[0]; s.Epoch != epoch || s.Next != 12 {
			t.Errorf("the epoch is %+v", s)
		}
		closeChecked(t, b)
	}
}

// TestAnothersFile: a file of another buffer gives nothing out, and stays.
func TestAnothersFile(t *testing.T) {
	o, _ := filled(t, 12, 1000)
	other, _ := filled(t, 12, 1000)
	from := recordFiles(t, other.Dir)[0]
	to := filepath.Join(o.Dir, filepath.Base(from))
	if err := copyFile(from, to); err != nil {
		t.Fatal(err)
	}
	b := open(t, o)
	within(t, "all is told", func() bool { return buffer.OpenLosses(b) == 0 })
	wantIDs(t, b, 0, 12)
	if aside, _ := filepath.Glob(to + ".damaged-*"); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
}

// BenchmarkOpenAfterCrash measures what a start takes that finds a file of 64 MiB not
// closed, in a process of its own.
func BenchmarkOpenAfterCrash(b *testing.B) {
	for _, size := range []int{500, 20_000} {
		for _, child := range []bool{false, true} {
			b.Run(fmt.Sprintf("bytes=%d/child=%v", size, child), func(b *testing.B) {
				o := buffer.Options{Dir: filepath.Join(b.TempDir(), "d"), MaxDisk: 1 << 30}
				buf, err := buffer.Open(o)
				if err != nil {
					b.Fatal(err)
				}
				for n := 0; n < 50<<20; {
					list := make([]buffer.Item, 0, 100)
					for range 100 {
						list = append(list, buffer.Item{Data: payload(n, size), Rows: 1})
						n += size + 100
					}
					if _, err := buf.Append(list, nil); err != nil {
						b.Fatal(err)
					}
					written(b, buf)
				}
				if err := buffer.Abandon(buf); err != nil {
					b.Fatal(err)
				}
				if child {
					o.Child = childCommand("child-check")
				}
				for b.Loop() {
					buf, err := buffer.Open(o)
					if err != nil {
						b.Fatal(err)
					}
					if err := buffer.Abandon(buf); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
