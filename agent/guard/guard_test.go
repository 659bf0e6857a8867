package guard_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"andon.internal/agent/guard"
	"andon.internal/shared/rules"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

var press = &telemetry.Profile{Name: "press", Version: 1, Signals: []telemetry.Signal{{Name: "force_kn", Type: telemetry.Double}}}

const text = `apiVersion: andon/v1
rules:
- alarm: force-high
  profile: press
  features: {f: {signal: force_kn, fn: last}}
  when: f > 90
  priority: high
- alarm: force-low
  profile: press
  features: {f: {signal: force_kn, fn: last}}
  when: f < 10
  on_delay: 2s
  priority: low
`

func load(t *testing.T) *sentinel.Rules {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := rules.Load(path, []*telemetry.Profile{press})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// bench drives a guard with one reading a record.
type bench struct {
	t      *testing.T
	guard  *guard.Guard
	begun  time.Time
	counts map[string]uint64
	step   time.Duration // by which the wall clock was set
}

func newBench(t *testing.T) *bench {
	return &bench{t: t, guard: guard.New(load(t)), begun: time.Now(), counts: map[string]uint64{}}
}

func (b *bench) record(unit string, at time.Duration, force float64) *telemetry.Record {
	boot := int64(time.Hour + at)
	offset := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano() + int64(b.step)
	r := &telemetry.Record{
		Unit: unit, Profile: press, Born: 1, Count: b.counts[unit],
		Clock: telemetry.Clock{Offset: offset},
	}
	r.Append(boot+offset, 0, []telemetry.Value{telemetry.DoubleValue(force)})
	b.counts[unit]++
	return r
}

// want gives the guard a reading, taken at a time since the beginning.
func (b *bench) want(unit string, at time.Duration, force float64, around, raised bool) {
	b.t.Helper()
	b.judge(at, b.record(unit, at, force), around, raised)
}

func (b *bench) judge(at time.Duration, r *telemetry.Record, around, raised bool) {
	b.t.Helper()
	if a, r := b.guard.Watch(b.begun.Add(at), r); a != around || r != raised {
		b.t.Errorf("after %v: around %t, raised %t; want %t, %t", at, a, r, around, raised)
	}
}

const s = time.Second

func TestAroundAnAlarm(t *testing.T) {
	b := newBench(t)
	b.want("p1", 0, 50, false, false)
	b.want("p1", 1*s, 95, true, true)
	b.want("p2", 1*s, 50, false, false)
	b.want("p1", 2*s, 95, true, false)
	b.want("p1", 31*s, 50, true, false)
	b.want("p1", 32*s, 50, false, false)
	b.want("p1", 33*s, 95, false, false) // comes and goes
	b.want("p1", 34*s, 50, false, false)
	b.want("p1", 601*s, 95, true, true)
	b.want("p2", 602*s, 95, true, true) // another unit's pause is its own
}

func TestAnotherAlarmOfTheUnit(t *testing.T) {
	b := newBench(t)
	b.want("p1", 0, 95, true, true)
	b.want("p1", 40*s, 5, false, false)
	b.want("p1", 41*s, 5, false, false)
	b.want("p1", 42*s, 5, true, true)
}

// TestDelayOfAnotherUnit: a delay that ended before this unit's reading is told to the guard
// with it, and counts for whom it is about.
func TestDelayOfAnotherUnit(t *testing.T) {
	b := newBench(t)
	b.want("p1", 0, 5, false, false)
	b.want("p1", 1*s, 5, false, false)
	b.want("p1", 2*s-s/10, 5, false, false)
	b.want("p2", 2*s+s/10, 50, false, false)
	b.want("p1", 2*s+s/2, 5, true, true)
	b.want("p1", 3*s, 5, true, false)
}

// TestTheClockIsSet: an hour ahead or back, the time around an alarm is as long.
func TestTheClockIsSet(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		b := newBench(t)
		b.want("p1", 0, 95, true, true)
		b.step = step
		b.want("p1", 29*s, 50, true, false)
		b.want("p1", 31*s, 50, false, false)
		b.want("p1", 32*s, 95, false, false)
		b.want("p1", 601*s, 50, false, false)
		b.want("p1", 602*s, 95, true, true)
	}
}

// TestRepeats: a batch that did not fit comes again in parts.
func TestRepeats(t *testing.T) {
	b := newBench(t)
	before, onset := b.record("p1", 0, 50), b.record("p1", 1*s, 95)
	b.judge(1*s, before, false, false)
	b.judge(1*s, onset, true, true)
	b.judge(1*s, onset, true, false)
	b.want("p1", 2*s, 95, true, false)
}

// TestRuns: the end lies around the alarm with its run; the next run begins anew.
func TestRuns(t *testing.T) {
	b := newBench(t)
	b.want("p1", 0, 95, true, true)
	end := b.record("p1", 5*s, 95)
	end.End = &telemetry.End{Time: end.Times[0]}
	end.Times, end.Qualities, end.Values = nil, nil, nil
	b.judge(5*s, end, true, false)
	next := b.record("p1", 6*s, 50)
	next.Born, next.Count = 2, 0
	b.judge(6*s, next, false, false)
	next = b.record("p1", 7*s, 95)
	next.Born, next.Count = 2, 1
	b.judge(7*s, next, true, true)
}
