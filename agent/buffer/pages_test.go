package buffer_test

import (
	"sync"
	"testing"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

// TestDeletesOfFewPages: acknowledgements that lie in many pages are deleted in several
// transactions, because each has its pages in memory.
func TestDeletesOfFewPages(t *testing.T) {
	const n, each = 2000, 20 // more than stand in one page
	o := small(t.TempDir())
	var (
		mu      sync.Mutex
		b       *buffer.Buffer
		written []int64 // before each transaction
	)
	o.SetStep(func(name string) error {
		mu.Lock()
		defer mu.Unlock()
		if b != nil && name == "write" {
			written = append(written, b.Written().Device)
		}
		return nil
	})
	opened := open(t, o)
	var some ranges.Set
	for i := range n {
		appendAt(t, opened, uint64(i), items(i), nil)
		if i%each == 0 {
			some.Add(uint64(i), uint64(i)+1)
		}
	}
	within(t, "everything is on disk", func() bool { return opened.Stats().Unwritten == 0 })
	mu.Lock()
	b = opened
	mu.Unlock()
	if err := opened.Ack(opened.Epoch(), some); err != nil {
		t.Fatal(err)
	}
	if err := opened.Close(); err != nil {
		t.Fatal(err)
	}
	written = append(written, opened.Written().Device)
	if len(written) < 2 || written[len(written)-1]-written[0] < n/each*4096 {
		t.Fatalf("the deletes are not seen: %v", written)
	}
	for i := 1; i < len(written); i++ {
		// Twice a batch, and what belongs to the file as a whole.
		if by := written[i] - written[i-1]; by > 2*o.RotateBytes/16+64<<10 {
			t.Errorf("transaction %d wrote %d bytes", i, by)
		}
	}
}
