package sourcetest

import (
	"io"
	"testing"

	"andon.internal/agent/source"
)

// testTemporaryError checks that a failed Read passes nothing over.
func (d Driver) testTemporaryError(t *testing.T) {
	var want, got []event
	each(t, d.open(t, source.Resume{}), func(b *source.Batch) bool { want = append(want, copyEvents(b)...); return true })
	s := d.open(t, source.Resume{})
	failed := 0
	read := func() (err error) {
		var b source.Batch
		if err = s.Read(t.Context(), &b); err != nil && len(b.Events) > 0 {
			t.Fatalf("read gave both %d events and the error %v", len(b.Events), err)
		}
		got = append(got, copyEvents(&b)...)
		return err
	}
	for len(got) < min(len(want), maxEvents) {
		repair := d.Break(t, s)
		// What the source has at hand may still be good.
		for range 100 {
			err := read()
			if err == io.EOF {
				break
			}
			if err != nil {
				failed++
				break
			}
		}
		repair()
		if err := read(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("read after the repair: %v", err)
		}
	}
	if failed == 0 {
		t.Error("no read failed")
	}
	n := min(len(want), len(got))
	compareTimeless(t, got[:n], want[:n])
}
