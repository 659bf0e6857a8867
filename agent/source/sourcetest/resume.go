package sourcetest

import (
	"testing"

	"andon.internal/agent/source"
)

// boundary is a place between two batches.
type boundary struct {
	cursor []byte
	runs   []source.Run
	events int // before it
}

// history reads a source and returns its events and the boundaries between batches.
func (d Driver) history(t *testing.T) (events []event, bounds []boundary, ended bool) {
	g := newGrammar()
	ended = each(t, d.open(t, source.Resume{}), func(b *source.Batch) bool {
		for i := range b.Events {
			if err := g.step(&b.Events[i]); err != nil {
				t.Fatal(err)
			}
		}
		events = append(events, copyEvents(b)...)
		bounds = append(bounds, boundary{append([]byte(nil), b.Cursor...), g.active(), len(events)})
		return true
	})
	return events, bounds, ended
}

// some returns about n of the boundaries, evenly spread, with the first and the last.
func some(bounds []boundary, n int) []boundary {
	if len(bounds) <= n {
		return bounds
	}
	var out []boundary
	for i := range n {
		out = append(out, bounds[i*(len(bounds)-1)/(n-1)])
	}
	return out
}

// testResume checks that a source opened at any boundary gives exactly the rest.
func (d Driver) testResume(t *testing.T) {
	events, bounds, ended := d.history(t)
	if len(bounds) == 0 {
		t.Fatal("the source gave no batch")
	}
	for _, at := range some(bounds, 12) {
		want := events[at.events:]
		var got []event
		gotEnd := each(t, d.open(t, source.Resume{Cursor: at.cursor, Runs: at.runs}), func(b *source.Batch) bool {
			got = append(got, copyEvents(b)...)
			return ended || len(got) < len(want)
		})
		if ended != gotEnd && len(want) > 0 {
			t.Errorf("resumed behind event %d: ended %v, want %v", at.events, gotEnd, ended)
		}
		if len(got) > len(want) && !ended {
			got = got[:len(want)]
		}
		compare(t, got, want)
		if t.Failed() {
			t.Fatalf("resumed behind event %d of %d", at.events, len(events))
		}
	}
}

// testResumeWithoutRuns checks that units in the midst of their run are born again
// when the agent does not know them any more, and that no reading is missing then.
func (d Driver) testResumeWithoutRuns(t *testing.T) {
	events, bounds, _ := d.history(t)
	for _, at := range some(bounds, 3) {
		want := readings(events[at.events:])
		g := newGrammar()
		var got []event
		each(t, d.open(t, source.Resume{Cursor: at.cursor}), func(b *source.Batch) bool {
			for i := range b.Events {
				if err := g.step(&b.Events[i]); err != nil {
					t.Fatalf("resumed behind event %d: %v", at.events, err)
				}
			}
			got = append(got, readings(copyEvents(b))...)
			return len(got) < len(want)
		})
		compare(t, got[:min(len(got), len(want))], want)
	}
}
