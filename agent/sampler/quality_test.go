package sampler_test

import (
	"math"
	"testing"
	"time"

	"andon.internal/agent/clock"
	"andon.internal/agent/source"
	"andon.internal/shared/telemetry"
)

func TestQuality(t *testing.T) {
	missing := telemetry.Value{}
	tests := map[string]struct {
		values []telemetry.Value
		source telemetry.Quality
		time   int64
		want   string
	}{
		"good":               {row(1), 0, base, "good"},
		"at the limit":       {row(10), 0, base, "good"},
		"missing":            {[]telemetry.Value{missing, telemetry.BooleanValue(true)}, 0, base, "missing"},
		"out of range":       {row(10.5), 0, base, "out-of-range"},
		"not a number":       {row(math.NaN()), 0, base, "out-of-range"},
		"both":               {[]telemetry.Value{telemetry.DoubleValue(-11), missing}, 0, base, "missing,out-of-range"},
		"as the source said": {row(1), telemetry.QualityUncertain | telemetry.QualitySimulated, base, "uncertain,simulated"},
		"clock never set":    {row(1), 0, 5e9, "time-unsynced"},
		"the source's time":  {row(1), telemetry.Quality(0).WithTime(telemetry.TimeSource), 5e9, "time-source"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			buf, ros := newMemory(), newRoster(t)
			runSampler(t, config(), &script{steps: steps(func(b *source.Batch) {
				b.AddBirth("a", pair, 0)
				b.AddReading("a", tc.time, tc.source, tc.values)
			})}, buf, ros)
			r := buf.records(t, ros.Profile)[0]
			if got := r.Qualities[0].String(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if r.Clock.Quality != r.Qualities[0].Time() {
				t.Errorf("the record's time is %v, the row's %v", r.Clock.Quality, r.Qualities[0].Time())
			}
		})
	}
}

// TestClock checks the anchor of each record, and that a clock that was set is seen.
func TestClock(t *testing.T) {
	looks := []struct {
		wall, boot time.Duration // since base, and since boot
		want       telemetry.TimeQuality
	}{
		{0, 100 * time.Second, telemetry.TimeOK},
		{time.Second, 101 * time.Second, telemetry.TimeOK},
		{2*time.Second + 90*time.Millisecond, 102 * time.Second, telemetry.TimeOK},
		{time.Hour, 103 * time.Second, telemetry.TimeStepped},
		{time.Hour + 900*time.Millisecond, 103900 * time.Millisecond, telemetry.TimeStepped}, // it may have been read before
		{time.Hour + time.Second, 104 * time.Second, telemetry.TimeOK},
		{5 * time.Second, 105 * time.Second, telemetry.TimeStepped},
		{6 * time.Second, 106 * time.Second, telemetry.TimeOK},
	}
	var list []func(b *source.Batch)
	for i := range looks {
		list = append(list, func(b *source.Batch) {
			if i == 0 {
				b.AddBirth("a", pair, ms(0))
			}
			b.AddReading("a", base+int64(looks[i].wall), 0, row(1))
		})
	}
	buf, ros := newMemory(), newRoster(t)
	c := config()
	at := 0
	c.Clock = func() clock.Time {
		l := looks[at]
		at++
		return clock.Time{Wall: base + int64(l.wall), Boot: int64(l.boot)}
	}
	runSampler(t, c, &script{steps: steps(list...)}, buf, ros)
	for i, r := range buf.records(t, ros.Profile) {
		want := telemetry.Clock{Boot: [16]byte{7}, Offset: base + int64(looks[i].wall-looks[i].boot), Quality: looks[i].want}
		if r.Clock != want {
			t.Errorf("record %d: clock %+v, want %+v", i, r.Clock, want)
		}
	}
}

// TestAnchorOfTheFirstSet: a batch that holds readings of both before and after a box got its
// time gives each the anchor that it was taken with.
func TestAnchorOfTheFirstSet(t *testing.T) {
	looks := []clock.Time{
		{Wall: int64(100 * time.Second), Boot: int64(100 * time.Second)},
		{Wall: base, Boot: int64(102 * time.Second)},
	}
	c := config()
	at := 0
	c.Clock = func() clock.Time {
		at++
		return looks[at-1]
	}
	buf, ros := newMemory(), newRoster(t)
	runSampler(t, c, &script{steps: steps(func(b *source.Batch) {
		b.AddBirth("a", pair, int64(99*time.Second))
		b.AddReading("a", int64(100*time.Second), 0, row(1))
	}, func(b *source.Batch) {
		b.AddReading("a", int64(101*time.Second), 0, row(2))
		b.AddReading("a", base, 0, row(3))
	})}, buf, ros)
	want := []telemetry.Clock{
		{Boot: [16]byte{7}, Quality: telemetry.TimeUnsynced},
		{Boot: [16]byte{7}, Quality: telemetry.TimeUnsynced},
		{Boot: [16]byte{7}, Offset: base - int64(102*time.Second), Quality: telemetry.TimeStepped},
	}
	records := buf.records(t, ros.Profile)
	if len(records) != len(want) {
		t.Fatalf("%d records, want %d", len(records), len(want))
	}
	for i, r := range records {
		if r.Clock != want[i] {
			t.Errorf("record %d: clock %+v, want %+v", i, r.Clock, want[i])
		}
	}
}
