package store

import "andon.internal/shared/telemetry"

// SeriesSQL is the query behind Series for the given signals.
func SeriesSQL(p *telemetry.Profile, signals []int, steps bool) string {
	s := &Series{Profile: p}
	for _, i := range signals {
		s.Signals = append(s.Signals, SignalSeries{Signal: i})
	}
	return seriesSQL(s, steps)
}
