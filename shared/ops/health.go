package ops

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Health holds the named checks behind /healthz and /readyz. A check returns nil
// or the reason why not; it is called at every request, must not block, and must be
// safe for concurrent use. The zero Health has no checks and is ready for use; all
// methods are safe for concurrent use.
type Health struct {
	mu          sync.Mutex
	live, ready []check
}

type check struct {
	name string
	ask  func() error
}

// Live adds a check of what can only be mended by a restart, such as a loop that
// no longer turns. A supervisor may kill a process that fails it.
func (h *Health) Live(name string, ask func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.live = append(h.live, check{name, ask})
}

// Ready adds a check of what the process needs to do its work in full, such as the
// connection to the broker.
func (h *Health) Ready(name string, ask func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready = append(h.ready, check{name, ask})
}

// Answer is one check's answer.
type Answer struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

// Liveness asks the live checks, in the order they were added. ok is true when all are.
func (h *Health) Liveness() (answers []Answer, ok bool) { return h.ask(&h.live) }

// Readiness asks the ready checks, in the order they were added. ok is true when all are.
func (h *Health) Readiness() (answers []Answer, ok bool) { return h.ask(&h.ready) }

func (h *Health) ask(list *[]check) ([]Answer, bool) {
	h.mu.Lock()
	checks := *list
	h.mu.Unlock()
	answers, all := make([]Answer, 0, len(checks)), true
	for _, c := range checks {
		a := Answer{Name: c.name, OK: true}
		if err := c.ask(); err != nil {
			a.OK, a.Reason, all = false, err.Error(), false
		}
		answers = append(answers, a)
	}
	return answers, all
}

// Pulse tells whether a loop still turns: the loop calls Beat, and Check fails when
// the last beat is older than the limit. Safe for concurrent use.
type Pulse struct {
	limit time.Duration
	start time.Time    // the zero of last, with its monotonic reading
	last  atomic.Int64 // ns since start
}

// NewPulse returns a Pulse that has just beaten.
func NewPulse(limit time.Duration) *Pulse { return &Pulse{limit: limit, start: time.Now()} }

// Beat says that the loop turns.
func (p *Pulse) Beat() { p.last.Store(int64(time.Since(p.start))) }

// Check returns an error when the loop has not beaten within the limit.
func (p *Pulse) Check() error {
	age := time.Since(p.start) - time.Duration(p.last.Load())
	if age > p.limit {
		return fmt.Errorf("has not moved for %v", age.Round(time.Second))
	}
	return nil
}
