package buffer_test

import (
	"testing"
	"time"

	"andon.internal/agent/buffer"
)

func TestBefore(t *testing.T) {
	b, err := buffer.Open(buffer.Options{Dir: t.TempDir(), LiveAge: 2 * time.Second}) // known to 10 ms
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	add := func(n int) (last time.Time) {
		for range n {
			if _, err := b.Append([]buffer.Item{{Data: []byte("x"), Rows: 1}}, nil); err != nil {
				t.Fatal(err)
			}
		}
		return time.Now()
	}
	begin := time.Now()
	if k, ok := b.Before(begin.Add(time.Hour)); ok {
		t.Errorf("an empty buffer has %v before any time", k.Position)
	}
	first := add(3)
	time.Sleep(50 * time.Millisecond) // it is about ages
	between := time.Now()
	add(2)
	if k, ok := b.Before(begin.Add(-time.Second)); ok {
		t.Errorf("%d was appended before the first", k.Position)
	}
	if k, ok := b.Before(between); !ok || k != (buffer.Key{Epoch: b.Epoch(), Position: 2}) {
		t.Errorf("before the pause: %v %v, want position 2; it ended %v before", k.Position, ok, between.Sub(first))
	}
	if k, ok := b.Before(time.Now().Add(time.Hour)); !ok || k.Position != 4 {
		t.Errorf("of all: %v %v, want position 4", k.Position, ok)
	}
}
