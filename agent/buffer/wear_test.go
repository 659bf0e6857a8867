package buffer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent/buffer"
)

// TestWearOfAHealthyLink: at both loads that are promised, what is acknowledged in time
// has the disk written at most a hundredth of it.
func TestWearOfAHealthyLink(t *testing.T) {
	for name, load := range map[string]struct {
		units int
		every time.Duration
		lasts time.Duration
	}{
		"20 units x 1 Hz":   {20, time.Second, time.Hour},
		"200 units x 10 Hz": {200, 100 * time.Millisecond, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				b := open(t, buffer.Options{Dir: dir})
				start := b.Written()
				data := payload(1, 300)
				batch := make([]buffer.Item, load.units)
				for i := range batch {
					batch[i] = buffer.Item{Data: data, Rows: 1}
				}
				for range load.lasts / load.every {
					first, err := b.Append(batch, nil)
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(40 * time.Millisecond)
					if err := b.Ack(b.Epoch(), set(first, first+uint64(load.units))); err != nil {
						t.Fatal(err)
					}
					time.Sleep(load.every - 40*time.Millisecond)
				}
				w := b.Written()
				if device := w.Device - start.Device; device > w.Taken/100 {
					t.Errorf("%d bytes were written for %d bytes of readings", device, w.Taken)
				}
			})
		})
	}
}

// TestWearOfALinkThatIsDown: records of 20 KB that come two or more at a time cost at
// most 1.7 bytes for each that is stored, whichever way they are written.
func TestWearOfALinkThatIsDown(t *testing.T) {
	for name, o := range map[string]buffer.Options{"behind": {}, "ahead": {WriteAhead: true}} {
		for _, together := range []int{2, 20} {
			t.Run(name, func(t *testing.T) {
				o.Dir, o.MaxDisk = t.TempDir(), 1<<30
				synctest.Test(t, func(t *testing.T) {
					b := open(t, o)
					start := b.Written()
					for i := 0; i < 1000; i += together {
						batch := make([]buffer.Item, together)
						for j := range batch {
							batch[j] = buffer.Item{Data: payload(i+j, 20_000), Rows: 1}
						}
						if _, err := b.Append(batch, nil); err != nil {
							t.Fatal(err)
						}
						time.Sleep(time.Second)
						synctest.Wait()
					}
					written(t, b)
					w := b.Written()
					x := float64(w.Device-start.Device) / float64(w.Stored)
					if w.Stored < 20_000_000 || x > 1.7 {
						t.Errorf("%d together: %.2f bytes of pages for each of %d stored", together, x, w.Stored)
					}
				})
			})
		}
	}
}
