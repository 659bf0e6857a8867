// Package sourcetest is the suite that every driver passes: what source.Source
// promises, as tests.
//
// It stands beside the drivers, imports none of them, and knows of a driver only
// what [Driver] tells.
package sourcetest

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon.internal/agent/source"
	"andon.internal/shared/telemetry"
)

// Driver is a driver to test.
type Driver struct {
	// New returns a source that is not open. Every source that it returns within one
	// test reads the same input, and has at least a few dozen events for it.
	New func(tb testing.TB) source.Source

	// Rereadable says that the source sets cursors.
	Rereadable bool

	// Ends says that the source reaches io.EOF.
	Ends bool

	// Break, where it is not nil, makes the next Read of an open source fail, and
	// repair undoes that.
	Break func(tb testing.TB, s source.Source) (repair func())
}

// Bounds of what one test reads.
const (
	maxEvents   = 20_000
	maxDuration = time.Second
)

// cancelWithin is how soon a Read returns after its context ended. The promise is
// 100 ms; a loaded test machine gets more.
const cancelWithin = 500 * time.Millisecond

// Run runs the suite.
func Run(t *testing.T, d Driver) {
	t.Cleanup(func() { goleak.VerifyNone(t, goleak.IgnoreCurrent()) })
	t.Run("grammar", d.testGrammar)
	t.Run("values keep", d.testValuesKeep)
	t.Run("cancelled before", d.testCancelledBefore)
	t.Run("cancelled while reading", d.testCancelledWhile)
	t.Run("close", d.testClose)
	t.Run("unknown runs are ended", d.testUnknownRuns)
	if d.Rereadable {
		t.Run("resume", d.testResume)
		t.Run("resume without runs", d.testResumeWithoutRuns)
	}
	if d.Ends {
		t.Run("end", d.testEnd)
	}
	if d.Break != nil {
		t.Run("temporary error", d.testTemporaryError)
	}
}

// open opens a new source, and closes it at the end of the test.
func (d Driver) open(t *testing.T, from source.Resume) source.Source {
	t.Helper()
	s := d.New(t)
	if err := s.Open(t.Context(), from); err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// each calls f with batch after batch until the source ends, f returns false, or the
// bounds are reached. It reports whether the source ended.
func each(t *testing.T, s source.Source, f func(b *source.Batch) bool) (ended bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), maxDuration)
	defer cancel()
	var b source.Batch
	for events := 0; events < maxEvents; events += len(b.Events) {
		b.Reset()
		err := s.Read(ctx, &b)
		if err != nil && len(b.Events) > 0 {
			t.Fatalf("read gave both %d events and the error %v", len(b.Events), err)
		}
		if err == io.EOF {
			return true
		}
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return false
		}
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if len(b.Events) == 0 {
			t.Fatal("read gave neither an event nor an error")
		}
		if !f(&b) {
			return false
		}
	}
	return false
}

func (d Driver) testGrammar(t *testing.T) {
	g := newGrammar()
	events := 0
	ended := each(t, d.open(t, source.Resume{}), func(b *source.Batch) bool {
		if (b.Cursor != nil) != d.Rereadable {
			t.Errorf("batch has a cursor: %v, the driver is rereadable: %v", b.Cursor != nil, d.Rereadable)
		}
		for i := range b.Events {
			if err := g.step(&b.Events[i]); err != nil {
				t.Fatalf("event %d: %v", events+i, err)
			}
		}
		events += len(b.Events)
		return true
	})
	if ended && len(g.runs) > 0 {
		t.Errorf("the source ended with %d units on test", len(g.runs))
	}
	if g.readings == 0 {
		t.Error("the source gave no reading")
	}
}

// testValuesKeep checks that a batch's values stay while another batch is filled.
func (d Driver) testValuesKeep(t *testing.T) {
	s := d.open(t, source.Resume{})
	var batches [2]source.Batch
	var kept []event
	for i := range 6 {
		ctx, cancel := context.WithTimeout(t.Context(), maxDuration)
		now := &batches[i%2]
		now.Reset()
		err := s.Read(ctx, now)
		cancel()
		if i > 0 {
			compare(t, copyEvents(&batches[(i+1)%2]), kept)
		}
		if err != nil {
			break
		}
		kept = copyEvents(now)
	}
}

func (d Driver) testCancelledBefore(t *testing.T) {
	s := d.open(t, source.Resume{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var b source.Batch
	begin := time.Now()
	if err := s.Read(ctx, &b); !errors.Is(err, context.Canceled) || len(b.Events) > 0 {
		t.Errorf("read gave %d events and %v, want context.Canceled", len(b.Events), err)
	}
	if took := time.Since(begin); took > cancelWithin {
		t.Errorf("read returned after %v", took)
	}
	if err := d.New(t).Open(ctx, source.Resume{}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("open gave %v, want context.Canceled or success", err)
	}
}

func (d Driver) testCancelledWhile(t *testing.T) {
	s := d.open(t, source.Resume{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	deadline, _ := ctx.Deadline()
	for {
		var b source.Batch
		err := s.Read(ctx, &b)
		if err == nil {
			continue
		}
		if err != io.EOF && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read gave %v, want context.DeadlineExceeded", err)
		}
		if late := time.Since(deadline); late > cancelWithin {
			t.Errorf("read returned %v after its context ended", late)
		}
		return
	}
}

func (d Driver) testClose(t *testing.T) {
	s := d.New(t)
	if err := s.Close(); err != nil {
		t.Errorf("close of a source that is not open: %v", err)
	}
	var b source.Batch
	if err := s.Read(t.Context(), &b); err == nil {
		t.Error("read of a source that is not open gave no error")
	}
	for range 2 {
		if err := s.Open(t.Context(), source.Resume{}); err != nil {
			t.Fatalf("open: %v", err)
		}
		b.Reset()
		if err := s.Read(t.Context(), &b); err != nil {
			t.Fatalf("read: %v", err)
		}
		if b.Events[0].Kind != source.Birth {
			t.Errorf("the first event is a %v, want a birth", b.Events[0].Kind)
		}
		for range 2 {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	}
}

// testUnknownRuns checks that runs that the source cannot continue are ended.
func (d Driver) testUnknownRuns(t *testing.T) {
	p := &telemetry.Profile{Name: "gone", Version: 1, Signals: []telemetry.Signal{{Name: "x", Type: telemetry.Double}}}
	lost := source.Run{Unit: "no-such-unit", Profile: p, Born: 1}
	g := newGrammar(lost)
	each(t, d.open(t, source.Resume{Runs: []source.Run{lost}}), func(b *source.Batch) bool {
		for i := range b.Events {
			if err := g.step(&b.Events[i]); err != nil {
				t.Fatal(err)
			}
		}
		return g.runs[lost.Unit] != nil
	})
	if g.runs[lost.Unit] != nil {
		t.Errorf("the run of %s was not ended", lost.Unit)
	}
}

func (d Driver) testEnd(t *testing.T) {
	s := d.open(t, source.Resume{})
	var cursor []byte
	if !each(t, s, func(b *source.Batch) bool { cursor = append(cursor[:0], b.Cursor...); return true }) {
		t.Fatal("the source did not end")
	}
	var b source.Batch
	if err := s.Read(t.Context(), &b); err != io.EOF {
		t.Errorf("read behind the end gave %v, want io.EOF", err)
	}
	if !d.Rereadable {
		return
	}
	if err := d.open(t, source.Resume{Cursor: cursor}).Read(t.Context(), &b); err != io.EOF {
		t.Errorf("read of a source opened at its end gave %v, want io.EOF", err)
	}
}
