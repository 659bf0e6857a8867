package presence

import (
	"sync"
	"time"
)

// Absence is a role that nobody does.
type Absence struct {
	Role  string
	Since time.Time
	Fault string // what keeps it from its work; empty: nothing is heard of it
}

// Roll knows who is there. Its methods are safe for concurrent use.
type Roll struct {
	mu      sync.Mutex
	entries []entry
}

// entry is a role that is expected.
type entry struct {
	role  string
	from  time.Time // since when it could be heard, on this connection
	good  time.Time // when one last said that it does its work
	bad   time.Time // when one last said that it cannot
	fault string    // why
}

// NewRoll returns a Roll that expects the roles, from now on.
func NewRoll(now time.Time, roles ...string) *Roll {
	r := &Roll{}
	for _, name := range roles {
		r.entries = append(r.entries, entry{role: name, from: now})
	}
	return r
}

// Connected says that the listener hears again: who is there has time to say so.
func (r *Roll) Connected(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.entries {
		r.entries[i].from = now
	}
}

// Take takes a message of the broker and reports whether it is one of a role.
func (r *Roll) Take(now time.Time, topic string, payload []byte) bool {
	role, m, ok := parse(topic, payload)
	if !ok {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.entries {
		switch e := &r.entries[i]; {
		case e.role != role:
		case m.Fault == "":
			e.good = now
		default:
			e.bad, e.fault = now, m.Fault
		}
	}
	return true
}

// Absent returns the roles that nobody does. One process that does a role is enough:
// others may stand by.
func (r *Roll) Absent(now time.Time) []Absence {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Absence
	for _, e := range r.entries {
		if now.Sub(e.good) <= Lapse || now.Sub(e.from) <= Lapse {
			continue
		}
		a := Absence{Role: e.role, Since: e.good}
		if a.Since.IsZero() {
			a.Since = e.from
		}
		if now.Sub(e.bad) <= Lapse {
			a.Fault = e.fault
		}
		out = append(out, a)
	}
	return out
}
