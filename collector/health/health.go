// Package health takes one look at a plant and says how it is: healthy, degraded or
// down, with the reasons.
//
// It stands beside the flow. It asks the database what it knows, listens to the
// broker for the heartbeats of the cells, and judges both together; or it asks a
// running collector's /readyz from far away. It changes nothing, keeps nothing, and
// answers within [Limit] whatever hangs. What it could not find out is never called
// healthy.
package health

import (
	"fmt"
	"time"
)

// Limit bounds a look.
const Limit = 5 * time.Second

// State is how something is.
type State string

// The states, from good to bad. Unknown is said of what could not be looked at,
// because something else is down.
const (
	Healthy  State = "healthy"
	Unknown  State = "unknown"
	Degraded State = "degraded" // it works, and somebody should look
	Down     State = "down"     // readings do not reach the database
)

var badness = map[State]int{Healthy: 0, Unknown: 1, Degraded: 2, Down: 3}

// Check is the answer to one question.
type Check struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Reason string `json:"reason"` // for people; never empty
}

// Cell is one cell.
type Cell struct {
	Group  string `json:"group"`
	Node   string `json:"node"`
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"` // why it is not healthy
	Heard  bool   `json:"heard"`            // during the look
	// Buffered is how many readings the cell holds that are not acknowledged, and
	// Oldest how long the oldest of them waits, in seconds; nil where it did not say.
	Buffered *uint64  `json:"buffered"`
	Oldest   *float64 `json:"oldest_seconds"`
	// Outstanding positions are known to be used and not settled: on the way, or at
	// the cell.
	Outstanding int64     `json:"outstanding"`
	Newest      time.Time `json:"newest_stored,omitzero"` // by the reading's own clock
}

// Report is the result of a look.
type Report struct {
	State   State     `json:"state"`
	Checked time.Time `json:"checked_at"`
	Seconds float64   `json:"seconds"` // that the look took
	Checks  []Check   `json:"checks"`
	Cells   []Cell    `json:"cells"`
}

// ExitCode is 0 for a healthy plant, 1 for a degraded one, and 2 for one that is down.
func (r *Report) ExitCode() int {
	switch r.State {
	case Healthy:
		return 0
	case Degraded, Unknown:
		return 1
	}
	return 2
}

// add adds the answer to a question.
func (r *Report) add(name string, s State, reason string, args ...any) {
	r.Checks = append(r.Checks, Check{name, s, fmt.Sprintf(reason, args...)})
}

// close sets the state to the worst of the checks, and the times.
func (r *Report) close(began, now time.Time) {
	r.State = Healthy
	for _, c := range r.Checks {
		if badness[c.State] > badness[r.State] {
			r.State = c.State
		}
	}
	r.Checked, r.Seconds = now.UTC().Truncate(time.Millisecond), now.Sub(began).Round(time.Millisecond).Seconds()
	if r.Cells == nil {
		r.Cells = []Cell{}
	}
}
