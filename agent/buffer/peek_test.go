package buffer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"andon.internal/agent/buffer"
)

// TestPeek: it gives what is held, on disk and in memory, and what comes meanwhile is
// not part of it.
func TestPeek(t *testing.T) {
	o, first := filled(t, 40, 3000)
	flip(t, o.Dir, 7, 3000)
	b := open(t, o)
	defer closeChecked(t, b)
	if err := b.Ack(first, set(10, 15)); err != nil {
		t.Fatal(err)
	}
	appendAt(t, b, 0, items(100, 101), nil)
	var got, bad []string
	err := b.Peek(t.Context(), func(f buffer.Found) error {
		if len(got) == 0 {
			appendAt(t, b, 2, items(102), nil)
		}
		if f.Err != nil {
			bad = append(bad, fmt.Sprint(f.Position, f.File != ""))
			return nil
		}
		id, _ := idOf(f.Data)
		got = append(got, fmt.Sprint(id))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"0", "1", "2", "3", "4", "5", "6", "8", "9"}
	for id := 15; id < 40; id++ {
		want = append(want, fmt.Sprint(id))
	}
	want = append(want, "100", "101")
	if strings.Join(got, " ") != strings.Join(want, " ") || strings.Join(bad, " ") != "7 true" {
		t.Errorf("got %v, damaged %v", got, bad)
	}
	if n := b.Stats().LostRecords; n > 0 {
		t.Errorf("looking lost %d records", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Peek(ctx, func(buffer.Found) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	inv := b.Inventory()
	if len(inv.Epochs) != 2 || inv.Epochs[0].Epoch != first || inv.Epochs[0].Held.Len() != 35 || inv.Epochs[1].Held.Len() != 3 || len(inv.Files) == 0 {
		t.Errorf("inventory %+v", inv)
	}
}
