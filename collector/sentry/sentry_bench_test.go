package sentry_test

import (
	"fmt"
	"testing"
	"time"

	"andon.internal/collector/feed"
	"andon.internal/collector/sentry"
	"andon.internal/shared/rules"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// BenchmarkTake is what one message of one reading costs under the shipped rules, at a
// plant of 200 dynos.
func BenchmarkTake(b *testing.B) {
	s, err := sentry.New(sentry.Config{Rules: rules.Shipped()}, &link{}, &journal{seen: map[string]bool{}})
	if err != nil {
		b.Fatal(err)
	}
	const units = 200
	begin := time.Now()
	records := make([]*telemetry.Record, units)
	s.Take(feed.Event{Kind: feed.NodeBorn, Node: cell, Received: begin, Birth: &sparkplug.NodeBirth{}})
	for n := range records {
		unit := fmt.Sprint("u", n)
		s.Take(feed.Event{
			Kind: feed.UnitBorn, Node: cell, Received: begin, UnitID: unit,
			Unit: &sparkplug.UnitBirth{Unit: unit, Profile: dyno, Born: 1},
		})
		values := make([]telemetry.Value, len(dyno.Signals))
		values[dyno.Index("winding_temp_c")] = telemetry.DoubleValue(60)
		values[dyno.Index("hydraulic_pressure_psi")] = telemetry.DoubleValue(400)
		values[dyno.Index("running")] = telemetry.BooleanValue(true)
		records[n] = &telemetry.Record{
			Unit: unit, Profile: dyno, Born: 1, Times: []int64{0}, Qualities: []telemetry.Quality{0}, Values: values,
		}
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		rec := records[n%units]
		step := time.Duration(n/units) * 100 * time.Millisecond // each unit at 10 Hz
		rec.Times[0] = int64(step)
		s.Take(feed.Event{
			Kind: feed.Record, Node: cell, Received: begin.Add(step), Record: rec, Epoch: epoch, Position: uint64(n),
		})
		n++
	}
}
