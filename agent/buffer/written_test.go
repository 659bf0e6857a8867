package buffer_test

import (
	"testing"

	"andon.internal/agent/buffer"
)

// TestWhatIsWritten: the bytes of pages are at least those of the records, and what was
// acknowledged before it was written is taken, and not stored.
func TestWhatIsWritten(t *testing.T) {
	b := open(t, small(t.TempDir()))
	start := b.Written()
	if start.Taken != 0 || start.Stored != 0 || start.Device <= 0 { // the chain
		t.Errorf("at the start: %+v", start)
	}
	for i := range 10 {
		appendAt(t, b, uint64(i), []buffer.Item{{Data: payload(i, 10_000), Rows: 1}}, nil)
	}
	written(t, b)
	w := b.Written()
	if w.Taken != 100_000 || w.Stored < 100_000 || w.Device-start.Device < w.Stored || w.Device > 10*w.Stored {
		t.Errorf("written: %+v", w)
	}
	if err := b.Ack(b.Epoch(), set(0, 10)); err != nil {
		t.Fatal(err)
	}
	closeChecked(t, b)
	if after := b.Written(); after.Device <= w.Device || after.Stored != w.Stored {
		t.Errorf("deletes and the end took nothing: %+v after %+v", after, w)
	}
}
