// Package births plans which units a session has to announce, and with which
// aliases.
//
// It stands inside the uplink, beside the stream of records: before a record goes
// out it says whether the unit must be born first, and after acknowledgements which
// units have died. It is pure: it does no I/O, reads no clock and is not safe for
// concurrent use. It promises that a record never goes out under aliases that were
// not announced in this session, and that an alias never means two things in it.
package births

// Run names one time on test of a unit, with the layout of its records.
type Run struct {
	Unit        string
	Born        int64  // unix ns
	Fingerprint uint64 // of the profile
}

// Active tells which run of a unit is on test now. ok is false when none is.
type Active func(unit string) (r Run, ok bool)

// Birth is what a birth has to say beside the profile.
type Birth struct {
	FirstAlias uint64
	Backlog    bool // the run has ended
}

// Registry knows what has been announced in a session.
type Registry struct {
	current map[string]*state            // by unit
	aliases map[string]map[uint64]uint64 // by unit and fingerprint: the first signal's
	next    uint64                       // the next free alias
}

type state struct {
	run     Run
	backlog bool
}

// New returns the registry of a new session.
func New() *Registry {
	return &Registry{current: map[string]*state{}, aliases: map[string]map[uint64]uint64{}, next: 1}
}

// Reset forgets who is born, because the node is born again in the same session.
// Aliases stay what they were.
func (g *Registry) Reset() { clear(g.current) }

// Need reports whether a birth must go out before a record of r.
//
// A late record of an earlier run needs none while the unit is born with the same
// layout: its body names its run. So units on test are not announced anew for every
// record of their backlog.
func (g *Registry) Need(r Run) bool {
	s := g.current[r.Unit]
	return s == nil || s.run.Fingerprint != r.Fingerprint || r.Born > s.run.Born
}

// NeedActive reports whether a unit on test must be announced.
func (g *Registry) NeedActive(r Run) bool {
	s := g.current[r.Unit]
	return s == nil || s.backlog || s.run != r
}

// Born notes that a birth of r goes out, and returns what it says.
func (g *Registry) Born(r Run, active Active, signals int) Birth {
	on, ok := active(r.Unit)
	b := Birth{FirstAlias: g.alias(r, signals), Backlog: !ok || on != r}
	g.current[r.Unit] = &state{run: r, backlog: b.Backlog}
	return b
}

func (g *Registry) alias(r Run, signals int) uint64 {
	of := g.aliases[r.Unit]
	if of == nil {
		of = map[uint64]uint64{}
		g.aliases[r.Unit] = of
	}
	if first, ok := of[r.Fingerprint]; ok {
		return first
	}
	first := g.next
	of[r.Fingerprint] = first
	g.next += uint64(signals)
	return first
}

// FirstAlias returns the alias of the first signal in the unit's records of that
// layout; ok is false when it was not announced.
func (g *Registry) FirstAlias(r Run) (first uint64, ok bool) {
	first, ok = g.aliases[r.Unit][r.Fingerprint]
	return first, ok
}

// IsCurrent reports whether the unit is born with this run.
func (g *Registry) IsCurrent(unit string, born int64) bool {
	s := g.current[unit]
	return s != nil && s.run.Born == born
}

// Died notes that the unit's death goes out. Its aliases are never used again.
func (g *Registry) Died(unit string) {
	delete(g.current, unit)
	delete(g.aliases, unit)
}

// Idle returns the runs that are announced of units that are not on test, in no
// order: they die once nothing of them is left to send.
func (g *Registry) Idle(active Active) []Run {
	var runs []Run
	for unit, s := range g.current {
		if _, ok := active(unit); !ok {
			runs = append(runs, s.run)
		}
	}
	return runs
}

// Units returns how many units are born.
func (g *Registry) Units() int { return len(g.current) }
