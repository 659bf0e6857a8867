package buffer_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"andon.internal/agent/buffer"
)

// chainText is a chain as text, epochs numbered from the oldest that was ever seen.
type epochNames map[buffer.Epoch]int

func (n epochNames) text(t *testing.T, b *buffer.Buffer) string {
	t.Helper()
	var out []string
	for _, s := range b.Chain() {
		if _, ok := n[s.Epoch]; !ok {
			n[s.Epoch] = len(n) + 1
		}
		prev := "-"
		if s.Prev != (buffer.Epoch{}) {
			prev = fmt.Sprint(n[s.Prev])
		}
		end := [...]string{"open", "closed", "unclean"}[s.Ended]
		out = append(out, fmt.Sprintf("%d<%s %s %d %s", n[s.Epoch], prev, end, s.Next, s.Held))
	}
	return strings.Join(out, "; ")
}

func TestChain(t *testing.T) {
	o := small(t.TempDir())
	names := epochNames{}
	want := func(b *buffer.Buffer, want string) {
		t.Helper()
		if got := names.text(t, b); got != want {
			t.Fatalf("the chain is\n%s, want\n%s", got, want)
		}
	}
	b := open(t, o)
	want(b, "1<- open 0 ")
	appendAt(t, b, 0, items(1, 2, 3), nil)
	written(t, b)
	want(b, "1<- open 3 [0,3)")
	closeChecked(t, b)

	var held atomic.Bool
	o.SetStep(holdWrites(&held))
	b = open(t, o)
	want(b, "1<- closed 3 [0,3); 2<1 open 0 ")
	appendAt(t, b, 0, items(4, 5), nil)
	written(t, b)
	held.Store(true)
	appendAt(t, b, 2, items(6), nil) // is lost with the crash, and its position with it
	if err := buffer.Abandon(b); err != nil {
		t.Fatal(err)
	}
	held.Store(false)

	b = open(t, o)
	first, second := b.Chain()[0].Epoch, b.Chain()[1].Epoch
	want(b, "1<- closed 3 [0,3); 2<1 unclean 2 [0,2); 3<2 open 0 ")
	_ = b.Ack(first, set(0, 3))
	want(b, "1<- closed 3 ; 2<1 unclean 2 [0,2); 3<2 open 0 ")
	b.Settle([]buffer.Epoch{first, second, b.Epoch(), {7}})
	within(t, "the first epoch is forgotten", func() bool { return len(b.Chain()) == 2 })
	want(b, "2<1 unclean 2 [0,2); 3<2 open 0 ")
	_ = b.Ack(second, set(0, 2))
	within(t, "the second epoch is forgotten", func() bool { return len(b.Chain()) == 1 })
	closeChecked(t, b)

	b = open(t, o)
	want(b, "3<2 closed 0 ; 4<3 open 0 ")
	closeChecked(t, b)
	b = open(t, o) // what was not settled is told until it is
	want(b, "3<2 closed 0 ; 4<3 closed 0 ; 5<4 open 0 ")
}

// holdWrites lets no write begin while held is set: it fails, and is tried again.
func holdWrites(held *atomic.Bool) func(string) error {
	return func(name string) error {
		if held.Load() && name == "write" {
			return errors.New("not now")
		}
		return nil
	}
}

// TestUncleanKnowsPositions: the highest position known covers those that were in
// memory only when others were written.
func TestUncleanKnowsPositions(t *testing.T) {
	o := small(t.TempDir())
	var held atomic.Bool
	o.SetStep(holdWrites(&held))
	b := open(t, o)
	held.Store(true)
	appendAt(t, b, 0, items(1, 2, 3), nil)
	_ = b.Ack(b.Epoch(), set(1, 3)) // never written
	held.Store(false)
	written(t, b)
	if err := buffer.Abandon(b); err != nil {
		t.Fatal(err)
	}
	b = open(t, o)
	if got, want := (epochNames{}).text(t, b), "1<- unclean 3 [0,1); 2<1 open 0 "; got != want {
		t.Errorf("the chain is %s, want %s", got, want)
	}
}

func TestChainIsBounded(t *testing.T) {
	o := small(t.TempDir())
	for range 80 {
		b, err := buffer.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := buffer.Abandon(b); err != nil {
			t.Fatal(err)
		}
	}
	b := open(t, o)
	within(t, "old epochs that hold nothing are forgotten", func() bool { return len(b.Chain()) == 65 })
}

// TestChainFileDamaged: the records name their epochs themselves.
func TestChainFileDamaged(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	appendAt(t, b, 0, items(1, 2), nil)
	closeChecked(t, b)
	b = open(t, o)
	appendAt(t, b, 0, items(3), nil)
	closeChecked(t, b)
	path := filepath.Join(o.Dir, "chain.db")
	if err := os.WriteFile(path, make([]byte, 20_000), 0o600); err != nil {
		t.Fatal(err)
	}
	b = open(t, o)
	names := epochNames{}
	if got, want := names.text(t, b), "1<- unclean 2 [0,2); 2<- unclean 1 [0,1); 3<2 open 0 "; got != want {
		t.Errorf("the chain is %s, want %s", got, want)
	}
	wantLane(t, b, buffer.Backlog, "0:1 1:2 0:3")
	if aside, _ := filepath.Glob(path + ".damaged-*"); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
	closeChecked(t, b)
	b = open(t, o)
	if got, want := names.text(t, b), "1<- unclean 2 [0,2); 2<- unclean 1 [0,1); 3<2 closed 0 ; 4<3 open 0 "; got != want {
		t.Errorf("after another start the chain is %s, want %s", got, want)
	}
}

// TestCursorOutlivesItsFile: a cursor moves into the next file before its own goes.
func TestCursorOutlivesItsFile(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	if _, err := b.Append(nil, &buffer.Cursor{Name: "still", Data: []byte("here")}); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if _, err := b.Append([]buffer.Item{{Data: payload(i, 10_000)}}, nil); err != nil {
			t.Fatal(err)
		}
		if i%20 == 0 {
			written(t, b)
		}
	}
	written(t, b)
	firstFile := recordFiles(t, o.Dir)[0]
	_ = b.Ack(b.Epoch(), set(0, 300))
	within(t, "files are unlinked", func() bool { return len(recordFiles(t, o.Dir)) == 1 })
	if recordFiles(t, o.Dir)[0] == firstFile {
		t.Fatal("the first file is still there")
	}
	if err := buffer.Abandon(b); err != nil {
		t.Fatal(err)
	}
	b = open(t, o)
	if c, err := b.Cursor("still"); err != nil || string(c) != "here" {
		t.Errorf("cursor is %q, %v", c, err)
	}
	if got, want := (epochNames{}).text(t, b), "1<- unclean 300 ; 2<1 open 0 "; got != want {
		t.Errorf("the chain is %s, want %s", got, want)
	}
}
