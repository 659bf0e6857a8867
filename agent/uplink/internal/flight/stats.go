package flight

import "time"

// Stats are the table's figures.
type Stats struct {
	Records, Bytes int64 // in flight
	Live           int64 // of Records, in the live lane
	Waiting        int64 // to be sent again
	Parked         int64
	CreditRecords  int64 // the window in force
	CreditBytes    int64
	RoundTrip      time.Duration // from sent to acknowledged, smoothed
	GrantRecords   int64         // what the collector last granted; 0 before
	Passed         uint64        // acknowledged so far
}

// Stats returns the figures of this moment.
func (t *Table) Stats() Stats {
	s := Stats{
		Records: int64(len(t.flying)), Bytes: t.bytes[Live] + t.bytes[Backlog], Live: int64(t.byLane[Live]),
		Waiting: int64(len(t.queued)), CreditRecords: int64(t.win.records()), CreditBytes: t.win.bytes(),
		RoundTrip: t.rtt, GrantRecords: int64(t.win.grant), Passed: t.passed,
	}
	for _, q := range t.suspects {
		if q.parks > 0 {
			s.Parked++
		}
	}
	return s
}
