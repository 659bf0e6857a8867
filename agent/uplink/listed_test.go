package uplink

import (
	"testing"

	"andon.internal/agent/buffer"
	"andon.internal/shared/sparkplug"
)

// TestListedKeepsTheOldestAndTheCurrent holds what a birth lists of a chain that is too
// long for it: what is sent first, and nothing from which the collector could conclude
// that an unlisted epoch is closed.
func TestListedKeepsTheOldestAndTheCurrent(t *testing.T) {
	chain := make([]buffer.EpochState, sparkplug.MaxChain+76)
	for i := range chain {
		chain[i] = buffer.EpochState{Epoch: buffer.Epoch{1, byte(i >> 8), byte(i)}, Ended: buffer.EndUnclean, Next: 10}
		if i > 0 {
			chain[i].Prev = chain[i-1].Epoch
		}
	}
	last := len(chain) - 1
	chain[last].Ended = buffer.EndOpen
	got := listed(chain)
	if len(got) != sparkplug.MaxChain {
		t.Fatalf("%d epochs are listed", len(got))
	}
	for i := range sparkplug.MaxChain - 1 {
		if got[i].Epoch != chain[i].Epoch || got[i].Prev != chain[i].Prev {
			t.Fatalf("epoch %d of the list is not the %d-th oldest", i, i)
		}
	}
	if end := got[len(got)-1]; end.Epoch != chain[last].Epoch || end.Prev != (buffer.Epoch{}) {
		t.Errorf("the list ends with %+v", end)
	}
	if chain[last].Prev == (buffer.Epoch{}) {
		t.Error("the chain itself was changed")
	}
	if short := listed(chain[:3]); len(short) != 3 || short[2].Prev != chain[1].Epoch {
		t.Errorf("a short chain is listed as %+v", short)
	}
}
