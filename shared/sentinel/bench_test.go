package sentinel_test

import (
	"testing"
	"time"

	"andon.internal/shared/profiles"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

func BenchmarkReading(b *testing.B) {
	rules, err := sentinel.Load("rules.yaml", []byte(rulesText), profiles.Builtin())
	if err != nil {
		b.Fatal(err)
	}
	e := sentinel.NewEngine(rules)
	e.Born(begin, subject, dyno, false)
	values := make([]telemetry.Value, len(dyno.Signals))
	for i := range values {
		values[i] = telemetry.DoubleValue(60)
	}
	values[dyno.Index("running")] = telemetry.BooleanValue(true)
	n := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		n++
		now := begin.Add(time.Duration(n) * 100 * time.Millisecond)
		e.Reading(now, subject, sentinel.Reading{
			Identity: sentinel.Identity{Position: n}, Time: now.UnixNano(), Values: values,
		})
	}
}
