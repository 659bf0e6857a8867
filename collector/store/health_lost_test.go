package store_test

import (
	"fmt"
	"testing"
	"time"

	"andon.internal/collector/store"
)

// TestLossTwiceTold: a loss record that lies in the node's buffer when it crashes comes
// after the birth that shows the same positions to be gone. Each position is lost once,
// for the reason that the record gives.
func TestLossTwiceTold(t *testing.T) {
	f := setUp(t)
	e1, e2 := epoch(1), epoch(2)
	f.commit(entry(e1, 0, 1))
	// Positions 1 to 9 found no room, which the record at 10 says; so did 11 to 14, of
	// which only the end is known.
	f.sync(store.ChainEpoch{Epoch: e1, End: store.EndUnclean, Next: 15, Held: set(10, 11)}, store.ChainEpoch{Epoch: e2, Prev: e1})
	f.commit(loss(e1, 10, e1, 1, 10))
	if got, want := f.ledger(e1), "{[0,1),[10,11)}|{[1,10),[11,15)}|{}|0"; got != want {
		t.Errorf("ledger %s, want %s", got, want)
	}
	h, err := f.s.Health(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cell := node.Group + " " + node.ID
	if got, want := fmt.Sprint(h.Lost), fmt.Sprintf("[{%s crash 4} {%s overflow 9}]", cell, cell); got != want {
		t.Errorf("lost %s, want %s", got, want)
	}
	r, err := store.OpenReader(t.Context(), store.Config{DSN: f.dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if told, err := r.Losses(t.Context(), time.Hour); err != nil || fmt.Sprint(told) != fmt.Sprint(h.Lost) {
		t.Errorf("a reader is told %v, %v, want %v", told, err, h.Lost)
	}
}
