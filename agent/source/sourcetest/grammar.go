package sourcetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"andon.internal/agent/source"
	"andon.internal/shared/telemetry"
)

// grammar follows events and finds those that break the rules of source.Event.
type grammar struct {
	runs     map[string]*source.Run
	born     map[string]int64 // time of each unit's latest birth
	readings int
}

func newGrammar(active ...source.Run) *grammar {
	g := &grammar{runs: map[string]*source.Run{}, born: map[string]int64{}}
	for _, r := range active {
		g.runs[r.Unit], g.born[r.Unit] = &r, r.Born
	}
	return g
}

func (g *grammar) step(e *source.Event) error {
	if err := telemetry.CheckID("unit", e.Unit); err != nil {
		return err
	}
	r := g.runs[e.Unit]
	switch e.Kind {
	case source.Birth:
		if e.Profile == nil {
			return fmt.Errorf("birth of %s has no profile", e.Unit)
		}
		if err := e.Profile.Check(); err != nil {
			return fmt.Errorf("birth of %s: %w", e.Unit, err)
		}
		if last, ok := g.born[e.Unit]; ok && e.Time <= last && (r == nil || e.Time != r.Born) {
			return fmt.Errorf("%s is born at %d, not after its last birth at %d: two runs must not have one name", e.Unit, e.Time, last)
		}
		g.runs[e.Unit] = &source.Run{Unit: e.Unit, Profile: e.Profile, Born: e.Time}
		g.born[e.Unit] = e.Time
	case source.Reading:
		if r == nil {
			return fmt.Errorf("reading of %s, which is not on test", e.Unit)
		}
		g.readings++
		r.Count++
		return checkValues(r.Profile, e)
	case source.Death:
		if r == nil {
			return fmt.Errorf("death of %s, which is not on test", e.Unit)
		}
		if e.Reason == "" || len(e.Reason) > telemetry.MaxTextLength {
			return fmt.Errorf("death of %s has the reason %q", e.Unit, e.Reason)
		}
		delete(g.runs, e.Unit)
	default:
		return fmt.Errorf("event of unknown kind %d", e.Kind)
	}
	return nil
}

func checkValues(p *telemetry.Profile, e *source.Event) error {
	if len(e.Values) != len(p.Signals) {
		return fmt.Errorf("reading of %s has %d values, its profile has %d signals", e.Unit, len(e.Values), len(p.Signals))
	}
	for i, v := range e.Values {
		if !v.Missing() && v.Type() != p.Signals[i].Type {
			return fmt.Errorf("reading of %s: %s is %v, want %v", e.Unit, p.Signals[i].Name, v.Type(), p.Signals[i].Type)
		}
	}
	if e.Late < 0 {
		return fmt.Errorf("reading of %s is %v late", e.Unit, e.Late)
	}
	return nil
}

// active returns the runs on test, sorted by unit.
func (g *grammar) active() []source.Run {
	runs := make([]source.Run, 0, len(g.runs))
	for _, r := range g.runs {
		runs = append(runs, *r)
	}
	slices.SortFunc(runs, func(a, b source.Run) int { return strings.Compare(a.Unit, b.Unit) })
	return runs
}

// event is a copy of a source.Event that shares no memory with its batch.
type event struct {
	kind    source.Kind
	unit    string
	time    int64
	quality telemetry.Quality
	values  []telemetry.Value
	reason  string
}

func copyEvents(b *source.Batch) []event {
	out := make([]event, len(b.Events))
	for i, e := range b.Events {
		out[i] = event{e.Kind, e.Unit, e.Time, e.Quality, slices.Clone(e.Values), e.Reason}
	}
	return out
}

func readings(events []event) []event {
	return slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.kind != source.Reading })
}

func (e event) equal(o event) bool {
	return e.kind == o.kind && e.unit == o.unit && e.time == o.time && e.quality == o.quality &&
		e.reason == o.reason && slices.Equal(e.values, o.values)
}

// compare reports the first difference.
func compare(t *testing.T, got, want []event) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if !got[i].equal(want[i]) {
			t.Errorf("event %d differs\n got %+v\nwant %+v", i, got[i], want[i])
			return
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d events, want %d", len(got), len(want))
	}
}

// compareTimeless compares events of two sources that were first opened at different
// moments, so that their times differ by a constant.
func compareTimeless(t *testing.T, got, want []event) {
	t.Helper()
	if len(got) > 0 && len(want) > 0 {
		shift := want[0].time - got[0].time
		got = slices.Clone(got)
		for i := range got {
			got[i].time += shift
		}
	}
	compare(t, got, want)
}
