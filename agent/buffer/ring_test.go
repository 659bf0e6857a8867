package buffer_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"andon.internal/agent/buffer"
)

// TestMemoryRingIsQuick: no append waits for long while much is let go of that was not to be
// seen before it is on disk.
func TestMemoryRingIsQuick(t *testing.T) {
	o := policyOptions(t, buffer.DropOldest)
	o.WriteAhead = true
	o.MaxMemory, o.MaxDisk, o.RotateBytes = 64<<20, 1<<30, 64<<20
	var broken atomic.Bool
	o.SetStep(func(name string) error {
		if broken.Load() && (name == "write" || name == "create" || name == "note") {
			return errors.New("the disk fails, as it was told to")
		}
		return nil
	})
	b := open(t, o)
	broken.Store(true)
	list := make([]buffer.Item, 4000)
	for i := range list {
		list[i] = buffer.Item{Data: []byte("r"), Label: "u", Rows: 1, First: 1, Last: 1}
	}
	longest := time.Duration(0)
	for range 75 {
		start := time.Now()
		if _, err := b.Append(list, nil); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, time.Since(start))
	}
	if lost := b.Stats().LostRecords; lost < 10_000 || longest > 2*time.Second {
		t.Errorf("the longest append took %v, %d lost", longest, lost)
	}
	broken.Store(false)
}
