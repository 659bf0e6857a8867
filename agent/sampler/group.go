package sampler

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"andon.internal/agent/source"
	"andon.internal/shared/telemetry"
)

// metricBytes is what one value takes on the wire at most: alias, timestamp, value.
const metricBytes = 21

// run is a run that is on test, in the midst of grouping.
type run struct {
	source.Run                   // Count includes the rows of open records
	before     uint64            // Count before the batch
	known      bool              // the roster knows of it: it is older than the batch
	fresh      bool              // the roster is to be told of it, or of its profile
	open       *telemetry.Record // where the next reading goes; nil: into a new record
	maxRows    int
	clock      telemetry.Clock // of the latest record
	lastTime   int64
	last       []telemetry.Value // in the batch's arena; nil when the batch has no reading of it
}

// changes are what a batch comes to.
type changes struct {
	records  []*telemetry.Record  // in the order of their first rows; valid until the next take
	profiles []*telemetry.Profile // that came with births
	births   []source.Run         // runs that are on test at the end of the batch and were not before
	deaths   []string             // units that the roster knows and that are not on test any more
	touched  []*run               // runs on test that have readings in the batch
}

// grouper makes records out of events. It holds the runs that are on test, and takes
// over what a batch changes in them at once: the caller stores that batch or stops.
type grouper struct {
	cfg    Config
	counts counters
	clock  clockWatch
	runs   map[string]*run

	out      changes
	ended    map[string]bool // units known to the roster whose run ended in the batch
	spare    []*telemetry.Record
	seen     map[*telemetry.Profile]error // what the check of a profile gave
	refused  throttle
	refusals atomic.Uint64
}

func newGrouper(c Config, counts counters) *grouper {
	return &grouper{
		cfg: c, counts: counts, clock: clockWatch{now: c.Clock},
		runs: map[string]*run{}, ended: map[string]bool{}, seen: map[*telemetry.Profile]error{},
	}
}

// restore makes runs the ones on test.
func (g *grouper) restore(runs []source.Run) {
	clear(g.runs)
	for _, r := range runs {
		g.runs[r.Unit] = g.newRun(r)
	}
	g.counts.units.Set(float64(len(g.runs)))
}

func (g *grouper) newRun(r source.Run) *run {
	n := g.cfg.MaxBytes / (metricBytes * len(r.Profile.Signals))
	return &run{Run: r, before: r.Count, maxRows: min(max(n, 1), telemetry.MaxRows)}
}

// active returns the runs on test, sorted by unit.
func (g *grouper) active() []source.Run {
	runs := make([]source.Run, 0, len(g.runs))
	for _, r := range g.runs {
		runs = append(runs, r.Run)
	}
	slices.SortFunc(runs, func(a, b source.Run) int { return strings.Compare(a.Unit, b.Unit) })
	return runs
}

// look reads the clocks, once for each batch.
func (g *grouper) look() {
	if by := g.clock.look(); by != 0 {
		g.counts.clockSteps.Inc()
		g.cfg.Logger.Warn("wall clock was set", "by", by)
	}
}

// take groups events. Those that break the rules of source.Event are counted,
// logged and passed over.
func (g *grouper) take(events []source.Event) changes {
	g.spare = append(g.spare, g.out.records...)
	clear(g.ended)
	g.out = changes{records: g.out.records[:0]}
	for _, r := range g.runs {
		r.before, r.known, r.fresh, r.open, r.last = r.Count, true, false, nil, nil
	}
	for i := range events {
		e := &events[i]
		var err error
		switch e.Kind {
		case source.Birth:
			err = g.birth(e)
		case source.Reading:
			err = g.reading(e)
		case source.Death:
			err = g.death(e)
		default:
			err = fmt.Errorf("event has the unknown kind %d", e.Kind)
		}
		if err != nil {
			g.counts.refused.Inc()
			g.refusals.Add(1)
			if g.refused.pass() {
				g.cfg.Logger.Error("event of the source refused", "unit", e.Unit, "error", err, "refused", g.refused.count)
			}
		}
	}
	return g.finish()
}

// finish collects what is different at the end of the batch.
func (g *grouper) finish() changes {
	for _, r := range g.runs {
		if r.fresh {
			delete(g.ended, r.Unit) // the birth takes the old run's place
			birth := r.Run
			birth.Count = r.before
			g.out.births = append(g.out.births, birth)
		}
		if r.last != nil {
			g.out.touched = append(g.out.touched, r)
		}
	}
	g.out.deaths = slices.Sorted(maps.Keys(g.ended))
	slices.SortFunc(g.out.births, func(a, b source.Run) int { return strings.Compare(a.Unit, b.Unit) })
	g.counts.units.Set(float64(len(g.runs)))
	return g.out
}

func (g *grouper) birth(e *source.Event) error {
	if err := telemetry.CheckID("unit", e.Unit); err != nil {
		return err
	}
	if err := g.checkProfile(e.Profile); err != nil {
		return err
	}
	if !slices.Contains(g.out.profiles, e.Profile) {
		g.out.profiles = append(g.out.profiles, e.Profile)
	}
	r := g.runs[e.Unit]
	if r == nil || r.Born != e.Time {
		if r != nil {
			g.end(r, e.Time, "replaced")
		}
		r = g.newRun(source.Run{Unit: e.Unit, Profile: e.Profile, Born: e.Time})
		r.fresh = true
		g.runs[e.Unit] = r
		return nil
	}
	if r.Profile != e.Profile {
		same := g.newRun(source.Run{Unit: e.Unit, Profile: e.Profile, Born: e.Time, Count: r.Count})
		same.known, same.fresh, same.before, same.clock, same.lastTime = r.known, true, r.before, r.clock, r.lastTime
		g.runs[e.Unit] = same
	}
	return nil
}

func (g *grouper) checkProfile(p *telemetry.Profile) error {
	if p == nil {
		return fmt.Errorf("birth has no profile")
	}
	err, ok := g.seen[p]
	if !ok {
		if len(g.seen) >= 256 { // a source that makes a profile for each birth
			clear(g.seen)
		}
		err = p.Check()
		g.seen[p] = err
	}
	return err
}

func (g *grouper) reading(e *source.Event) error {
	r := g.runs[e.Unit]
	if r == nil {
		return fmt.Errorf("reading of a unit that is not on test")
	}
	q, err := quality(r.Profile, e.Quality, e.Values)
	if err != nil {
		return err
	}
	if q.Time() == telemetry.TimeOK {
		q = q.WithTime(g.clock.of(e.Time))
	}
	if r.open == nil || r.open.Len() >= r.maxRows || !r.open.Fits(e.Time) || r.clock.Quality != q.Time() {
		g.record(r, q.Time())
	}
	r.open.Append(e.Time, q, e.Values)
	r.Count++
	r.lastTime, r.last = e.Time, e.Values
	return nil
}

func (g *grouper) death(e *source.Event) error {
	r := g.runs[e.Unit]
	if r == nil {
		return fmt.Errorf("death of a unit that is not on test")
	}
	g.end(r, e.Time, e.Reason)
	return nil
}

// end ends a run with its last record, or with one that has no rows.
func (g *grouper) end(r *run, at int64, reason string) {
	if r.open == nil {
		g.record(r, max(r.clock.Quality, g.clock.of(at)))
	}
	r.open.End = &telemetry.End{Time: at, Reason: reason[:min(len(reason), telemetry.MaxTextLength)]}
	if r.known {
		g.ended[r.Unit] = true
	}
	delete(g.runs, r.Unit)
}

// record opens the run's next record.
func (g *grouper) record(r *run, q telemetry.TimeQuality) {
	r.clock = telemetry.Clock{Boot: g.cfg.Boot, Offset: g.clock.anchor(q), Quality: q}
	rec := &telemetry.Record{}
	if n := len(g.spare); n > 0 {
		rec, g.spare = g.spare[n-1], g.spare[:n-1]
	}
	*rec = telemetry.Record{
		Unit: r.Unit, Profile: r.Profile, Born: r.Born, Count: r.Count, Clock: r.clock,
		Times: rec.Times[:0], Qualities: rec.Qualities[:0], Values: rec.Values[:0],
	}
	r.open = rec
	g.out.records = append(g.out.records, rec)
}

// quality adds to q what the values show, and checks their number and types.
func quality(p *telemetry.Profile, q telemetry.Quality, values []telemetry.Value) (telemetry.Quality, error) {
	if len(values) != len(p.Signals) {
		return q, fmt.Errorf("reading has %d values, the profile %s has %d signals", len(values), p.Name, len(p.Signals))
	}
	for i, v := range values {
		s := &p.Signals[i]
		switch {
		case v.Missing():
			q |= telemetry.QualityMissing
		case v.Type() != s.Type:
			return q, fmt.Errorf("value of %s is %v, the profile says %v", s.Name, v.Type(), s.Type)
		case !s.Plausible(v):
			q |= telemetry.QualityOutOfRange
		}
	}
	return q, nil
}
