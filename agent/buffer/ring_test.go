package buffer_test

import (
	"errors"
	"path/filepath"
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
	if lost := b.Stats().LostRecords; lost < 10_000 || longest > 10*time.Second {
		t.Errorf("the longest append took %v, %d lost", longest, lost)
	}
	broken.Store(false)
}

// TestAFullRingTurnsOn: where all that is in memory lies around alarms, the oldest of it goes
// for what comes.
func TestAFullRingTurnsOn(t *testing.T) {
	o := buffer.Options{Dir: filepath.Join(t.TempDir(), "buffer"), MaxMemory: 4 << 20}
	b, err := buffer.OpenDetached(o, errNoDisk)
	if err != nil {
		t.Fatal(err)
	}
	id := 0
	put := func(c buffer.Class, n int) {
		for range n {
			it := buffer.Item{Class: c, Data: payload(id, 300), Label: "u", Rows: 1, First: 1, Last: 1}
			if _, err := b.Append([]buffer.Item{it}, nil); err != nil {
				t.Fatal(err)
			}
			id++
		}
	}
	for b.Stats().LostRecords == 0 {
		put(buffer.Alarm, 1)
	}
	put(buffer.Bulk, 2000)
	put(buffer.Alarm, 2000)
	if _, ok, err := b.Get(buffer.Key{Epoch: b.Epoch(), Position: b.Chain()[0].Next - 1}); !ok || err != nil {
		t.Errorf("the latest record is not held: %v", err)
	}
	if err := buffer.Check(b); err != nil {
		t.Error(err)
	}
	for _, r := range b.Chain()[0].Held.Ranges() {
		_ = b.Ack(b.Epoch(), set(r.From, r.To))
	}
	_ = b.Close()
}
