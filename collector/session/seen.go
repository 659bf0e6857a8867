package session

import "time"

// See notes that the node of a message exists, and nothing else: it is what a
// collector on standby does, so that it knows whom to ask when it takes over.
func (t *Table) See(m Message, now time.Time) {
	id := nodeOf(m.Topic)
	if id.Check() != nil {
		return
	}
	if n := t.admit(id); n != nil {
		n.heard = now
	}
}

// AskUnborn makes the next Tick ask every node whose births are not known.
func (t *Table) AskUnborn(now time.Time) {
	for _, n := range t.nodes {
		if n.state == unborn {
			n.staleAt = now
		}
	}
}
