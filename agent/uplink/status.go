package uplink

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/uplink/internal/flight"
)

// Status is a look at the uplink at one moment.
type Status struct {
	Connected bool      // a session is up and the node is born
	Waiting   bool      // connected, and waiting for the primary host
	Session   uint64    // the number of the latest session
	Since     time.Time // when Connected, Waiting or the session last changed
	Error     string    // why there is no connection; empty while there is one

	LastHeard time.Time // last acknowledgement of whatever content; zero before the first
	Synced    bool      // the collector has said what it has of the backlog
	Hold      bool      // nothing is acknowledged: the database or the collector is away
	HoldSince time.Time // set while Hold
	HoldWhy   string    // likewise

	CreditRecords   int64 // what may be in flight; 0 without a session
	CreditBytes     int64
	InFlightRecords int64
	InFlightBytes   int64
	RoundTrip       time.Duration // from sent to acknowledged, smoothed; 0 before the first
	Units           int           // announced in this session
	Parked          []Parked
}

// Parked is a record that keeps failing and is tried only now and then.
type Parked struct {
	Epoch    [16]byte
	Position uint64
	Unit     string
	Bytes    int64
	Reason   string
	Times    int       // how often it was put aside
	Next     time.Time // from then on it may be tried, one at a time and in no hold, or before
}

// Status returns how things stand. Safe for concurrent use.
func (u *Uplink) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status
}

// setLink notes that there is no session, and why. Then nothing is known of the database,
// nothing may be in flight, and no unit is announced.
func (u *Uplink) setLink(err error) {
	m := u.cfg.Metrics
	for _, g := range []prometheus.Gauge{m.connected, m.hold, m.units, m.creditRecords, m.creditBytes} {
		g.Set(0)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	st := &u.status
	if st.Connected || st.Waiting {
		st.Since = time.Now()
	}
	st.Connected, st.Waiting, st.Synced = false, false, false
	st.Hold, st.HoldSince, st.HoldWhy = false, time.Time{}, ""
	st.CreditRecords, st.CreditBytes = 0, 0
	st.InFlightRecords, st.InFlightBytes, st.Units = 0, 0, 0
	st.Error = ""
	if err != nil {
		st.Error = err.Error()
	}
	st.Parked = parkedOf(u.table)
}

func parkedOf(t *flight.Table) []Parked {
	var list []Parked
	for _, p := range t.Parked() {
		list = append(list, Parked{p.Epoch, p.Position, p.Unit, p.Bytes, p.Reason, p.Times, p.Next})
	}
	return list
}

// reportEvery is how often the figures are brought up to date at most.
const reportEvery = 100 * time.Millisecond

// report brings the status and the gauges up to date: at once when something
// happened, else now and then.
func (s *session) report(now time.Time, force bool) {
	state := [...]bool{s.born, s.hold, s.sync.done, !s.acked.IsZero()}
	if !force && state == s.reportedState && now.Sub(s.reported) < reportEvery {
		s.reportAt = s.reported.Add(reportEvery)
		return
	}
	s.reported, s.reportedState, s.reportAt = now, state, time.Time{}
	f, m := s.up.table.Stats(), s.up.cfg.Metrics
	m.connected.Set(boolean(s.born))
	m.hold.Set(boolean(s.hold))
	m.parked.Set(float64(f.Parked))
	m.inFlightRecords.Set(float64(f.Records))
	m.inFlightBytes.Set(float64(f.Bytes))
	m.creditRecords.Set(float64(f.CreditRecords))
	m.creditBytes.Set(float64(f.CreditBytes))
	m.roundTrip.Set(f.RoundTrip.Seconds())
	m.units.Set(float64(s.reg.Units()))
	if n := s.link.Ignored(); n > s.ignored {
		m.ignored.Add(float64(n - s.ignored))
		s.ignored = n
	}
	var parked []Parked
	if f.Parked > 0 {
		parked = parkedOf(s.up.table)
	}
	s.up.mu.Lock()
	defer s.up.mu.Unlock()
	st := &s.up.status
	if st.Connected != s.born || st.Waiting == s.born || st.Session != s.number {
		st.Since = now
	}
	st.Connected, st.Waiting, st.Session, st.Error = s.born, !s.born, s.number, ""
	if !s.acked.IsZero() {
		st.LastHeard = s.acked
	}
	st.Synced, st.Hold, st.HoldSince, st.HoldWhy = s.sync.done, s.hold, s.holdSince, s.holdWhy
	st.CreditRecords, st.CreditBytes = f.CreditRecords, f.CreditBytes
	st.InFlightRecords, st.InFlightBytes = f.Records, f.Bytes
	st.RoundTrip, st.Units, st.Parked = f.RoundTrip, s.reg.Units(), parked
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
