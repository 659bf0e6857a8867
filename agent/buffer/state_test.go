package buffer_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"andon.internal/agent/buffer"
)

// crashed makes a folder with records 0 to 2 and a cursor behind them, all in the
// active file, as a crash leaves it, and returns that file's path.
func crashed(t *testing.T) (buffer.Options, buffer.Epoch, string) {
	t.Helper()
	o := small(t.TempDir())
	b := open(t, o)
	appendAt(t, b, 0, items(0, 1), &buffer.Cursor{Name: "replay", Data: []byte("one")})
	written(t, b)
	appendAt(t, b, 2, items(2), &buffer.Cursor{Name: "replay", Data: []byte("two")})
	within(t, "the cursor is on disk", func() bool { c, _ := b.Cursor("replay"); return string(c) == "two" })
	path := buffer.ActivePath(b)
	if err := buffer.Abandon(b); err != nil {
		t.Fatal(err)
	}
	return o, b.Epoch(), path
}

func rewrite(t *testing.T, path string, change func(data []byte)) (before []byte) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Clone(before)
	change(data)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return before
}

func zero(data []byte) { clear(data) }

// breakFreeList damages what only the check of a file looks at.
func breakFreeList(data []byte) {
	for at := 2 * 4096; at < len(data); at += 4096 {
		if binary.NativeEndian.Uint16(data[at+8:]) == 0x10 {
			clear(data[at : at+16])
		}
	}
}

func wantCursor(t *testing.T, b *buffer.Buffer, name, want string) {
	t.Helper()
	if c, err := b.Cursor(name); err != nil || string(c) != want {
		t.Fatalf("cursor %s is %q, %v, want %q", name, c, err, want)
	}
}

// TestCursorLost: a cursor that vanished with the active file is an error, for as long
// as the file is not back or the cursor begun anew, and no other name is touched.
func TestCursorLost(t *testing.T) {
	for _, cure := range []string{"file", "anew"} {
		t.Run(cure, func(t *testing.T) {
			o, _, path := crashed(t)
			before := rewrite(t, path, zero)
			for range 3 {
				b := open(t, o)
				if c, err := b.Cursor("replay"); !errors.Is(err, buffer.ErrCursorLost) || !strings.Contains(err.Error(), "another name") {
					t.Fatalf("cursor is %q, %v", c, err)
				}
				wantCursor(t, b, "never stored", "")
				if _, err := b.Append(items(9), &buffer.Cursor{Name: "other", Data: []byte("o")}); err != nil {
					t.Fatal(err)
				}
				closeChecked(t, b)
			}
			if cure == "file" {
				if err := os.WriteFile(path, before, 0o600); err != nil {
					t.Fatal(err)
				}
			} else {
				b := open(t, o)
				if _, err := b.Append(nil, &buffer.Cursor{Name: "replay", Data: []byte("two")}); err != nil {
					t.Fatal(err)
				}
				closeChecked(t, b)
			}
			for range 2 {
				b := open(t, o)
				wantCursor(t, b, "replay", "two")
				wantCursor(t, b, "other", "o")
				closeChecked(t, b)
			}
		})
	}
}

// TestCursorRescued: cursors, counts and records that can still be read are used.
func TestCursorRescued(t *testing.T) {
	o, epoch, path := crashed(t)
	rewrite(t, path, breakFreeList)
	for restart := range 2 {
		b := open(t, o)
		wantCursor(t, b, "replay", "two")
		if got, want := (epochNames{}).text(t, b), "1<- unclean 3 "; !strings.HasPrefix(got, want) {
			t.Errorf("the chain is %s", got)
		}
		if restart == 0 {
			wantLane(t, b, buffer.Backlog, "0:0 1:1 2:2")
			if n := b.Stats().LostRecords; n != 0 {
				t.Errorf("%d records lost, want none", n)
			}
		}
		_ = b.Ack(epoch, set(0, 3))
		closeChecked(t, b)
	}
}

// TestCursorNotInDamagedFile: an older file that is damaged took no cursor with it.
func TestCursorNotInDamagedFile(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	for i := range 200 {
		appendAt(t, b, uint64(i), []buffer.Item{{Data: payload(i, 10_000)}}, &buffer.Cursor{Name: "replay", Data: fmt.Append(nil, i)})
		if i%20 == 0 {
			written(t, b)
		}
	}
	closeChecked(t, b)
	files := recordFiles(t, o.Dir)
	if len(files) < 2 {
		t.Fatal("no rotation")
	}
	rewrite(t, files[0], zero)
	b = open(t, o)
	wantCursor(t, b, "replay", "199")
}

// TestCrashTakesHighestPosition: where not even the counts can be read, the epoch is
// told to end where it can have ended at the latest.
func TestCrashTakesHighestPosition(t *testing.T) {
	o, epoch, path := crashed(t)
	rewrite(t, path, zero)
	b := open(t, o)
	ep := b.Chain()[0]
	if ep.Epoch != epoch || ep.Ended != buffer.EndUnclean || ep.Next < 3 || ep.Next > 3+4096 {
		t.Errorf("the epoch ended at %+v", ep)
	}
	within(t, "the loss is told", func() bool { return b.Stats().Records == 1 && b.Stats().Unwritten == 0 })
	wantLane(t, b, buffer.Backlog, fmt.Sprintf("0:loss damaged[0,%d)", ep.Next))
}

// TestNotedAhead: the chain file follows the positions in steps, before they are in a
// record file.
func TestNotedAhead(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	for i := range 10 {
		list := make([]buffer.Item, 1000)
		for j := range list {
			list[j] = buffer.Item{Data: []byte("x")}
		}
		appendAt(t, b, uint64(1000*i), list, nil)
		written(t, b)
	}
	path := buffer.ActivePath(b)
	if err := buffer.Abandon(b); err != nil {
		t.Fatal(err)
	}
	rewrite(t, path, zero)
	b = open(t, o)
	if next := b.Chain()[0].Next; next < 10_000 || next > 10_000+4096 {
		t.Errorf("the epoch ended at %d, 10000 positions were on disk", next)
	}
}

// TestUsedEpochIsKept: of many starts without a collector, those that assigned nothing
// are forgotten, and their successor follows their predecessor.
func TestUsedEpochIsKept(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	appendAt(t, b, 0, items(1, 2), nil)
	used := b.Epoch()
	_ = b.Ack(used, set(0, 2))
	closeChecked(t, b)
	for range 80 {
		b, err := buffer.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	b = open(t, o)
	chain := b.Chain()
	if len(chain) != 66 || chain[0].Epoch != used || chain[0].Next != 2 {
		t.Fatalf("%d epochs, the first is %+v", len(chain), chain[0])
	}
	for i := range chain[1:] {
		if chain[i+1].Prev != chain[i].Epoch {
			t.Errorf("epoch %d does not follow the one before it", i+1)
		}
	}
}

// TestFrozenNameIsSynced: a file that must not be written again says so after a power
// cut too.
func TestFrozenNameIsSynced(t *testing.T) {
	o, _ := filled(t, 3, 10_000)
	flip(t, o.Dir, 1, 10_000)
	b := open(t, o)
	synced := buffer.CountDirSyncs(b)
	all(t, b, buffer.Backlog)
	if synced.Load() == 0 {
		t.Error("the folder was not synced")
	}
}
