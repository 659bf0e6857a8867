package registrar

import (
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// How many tokens of one address may be wrong, and in which time. A token cannot be
// guessed: this bounds the work and the noise.
const (
	maxStrikes   = 10
	strikeWindow = time.Minute
	maxAddresses = 4096 // that are remembered; those beyond it count as one
)

// strikes counts the tokens that were not good, by address.
type strikes struct {
	mu    sync.Mutex
	began time.Time // of the window
	count map[netip.Prefix]int
}

func newStrikes() *strikes { return &strikes{count: map[netip.Prefix]int{}} }

// out reports whether an address has had all its attempts.
func (s *strikes) out(p netip.Prefix, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[s.keyLocked(p, now)] >= maxStrikes
}

// add counts an attempt that failed.
func (s *strikes) add(p netip.Prefix, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[s.keyLocked(p, now)]++
}

// keyLocked begins a new window when the old one is over, and returns under what an
// address is counted.
func (s *strikes) keyLocked(p netip.Prefix, now time.Time) netip.Prefix {
	if age := now.Sub(s.began); age >= strikeWindow || age < 0 {
		s.began = now
		clear(s.count)
	}
	if _, known := s.count[p]; !known && len(s.count) >= maxAddresses {
		return netip.Prefix{}
	}
	return p
}

// throttle lets one line a second through, and counts the others.
type throttle struct {
	mu   sync.Mutex
	last time.Time
	more int
}

func (t *throttle) tell(now time.Time) (more int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.last) < time.Second && !now.Before(t.last) {
		t.more++
		return 0, false
	}
	more, t.last, t.more = t.more, now, 0
	return more, true
}

// metrics counts what is answered.
type metrics struct {
	requests *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, own *ownCertificate) *metrics {
	m := &metrics{requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "andon", Subsystem: "registrar", Name: "requests_total",
		Help: "Requests by path, and by result: ok, or why not.",
	}, []string{"request", "result"})}
	expires := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "andon", Subsystem: "registrar", Name: "certificate_expires_timestamp_seconds",
		Help: "When the service's own certificate expires, in seconds since 1970.",
	}, func() float64 { return float64(own.expires().Unix()) })
	if reg != nil {
		reg.MustRegister(m.requests, expires)
	}
	return m
}
