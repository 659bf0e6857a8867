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
		mu     sync.Mutex
		b      *buffer.Buffer
		device []int64 // written before each transaction
	)
	o.SetStep(func(name string) error {
		mu.Lock()
		defer mu.Unlock()
		if b != nil && name == "write" {
			device = append(device, b.Written().Device)
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
	written(t, opened)
	mu.Lock()
	b = opened
	mu.Unlock()
	if err := opened.Ack(opened.Epoch(), some); err != nil {
		t.Fatal(err)
	}
	if err := opened.Close(); err != nil {
		t.Fatal(err)
	}
	device = append(device, opened.Written().Device)
	if len(device) < 2 || device[len(device)-1]-device[0] < n/each*4096 {
		t.Fatalf("the deletes are not seen: %v", device)
	}
	for i := 1; i < len(device); i++ {
		// Twice a batch, and what belongs to the file as a whole.
		if by := device[i] - device[i-1]; by > 2*o.RotateBytes/16+64<<10 {
			t.Errorf("transaction %d wrote %d bytes", i, by)
		}
	}
	mu.Lock()
	b = nil
	mu.Unlock()
	if got := len(all(t, open(t, o), buffer.Backlog)); got != n-n/each {
		t.Errorf("%d records are left, want %d", got, n-n/each)
	}
}
