package store

import (
	"fmt"

	"andon.internal/shared/telemetry"
)

// layout says how the records of one profile lie in a table: which of the record's
// signals each column takes. The record's profile may be older or newer than the
// table's, or ordered otherwise.
type layout struct {
	columns []column
	refused string // why such a record cannot be stored; empty when it can
}

type column struct {
	source int // index in the record's row; -1: NULL
	typ    telemetry.Type
}

// maxLayouts bounds a table's layouts: each cell has its own profiles.
const maxLayouts = 1024

// layoutOf returns the layout for records of profile p.
func (t *table) layoutOf(p *telemetry.Profile) *layout {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.layouts[p]
	if l == nil {
		if len(t.layouts) >= maxLayouts {
			clear(t.layouts)
		}
		l = newLayout(t.profile, p)
		t.layouts[p] = l
	}
	return l
}

func newLayout(have, p *telemetry.Profile) *layout {
	l := &layout{columns: make([]column, len(have.Signals))}
	for i := range have.Signals {
		l.columns[i] = column{source: -1, typ: have.Signals[i].Type}
	}
	for i := range p.Signals {
		s := &p.Signals[i]
		switch at := have.Index(s.Name); {
		case at < 0:
			l.refused = fmt.Sprintf("profile %s as installed has no signal %s; install the profile's newer version", have.Name, clip(s.Name, 64))
		case have.Signals[at].Type != s.Type:
			l.refused = fmt.Sprintf("signal %s of profile %s is %v as installed, and came as %v", s.Name, have.Name, have.Signals[at].Type, s.Type)
		case l.columns[at].source >= 0:
			l.refused = fmt.Sprintf("signal %s of profile %s came twice", s.Name, have.Name)
		default:
			l.columns[at].source = i
			continue
		}
		return l
	}
	return l
}
