package session

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

type state uint8

const (
	unborn  state = iota // heard of; its births are not known
	born                 // alive, and its births are known
	dead                 // said its death, or was silent for long
	foreign              // not Andon's
)

// node is what is known of one node.
type node struct {
	id       telemetry.Node
	state    state
	heard    time.Time
	messages uint64

	bdSeq   uint8
	session uint64
	version string
	boot    [16]byte
	skew    skew
	dating  dating
	seq     sequence
	staleAt time.Time // when to ask for births that may have been missed; zero: no need
	asked   limiter
	gaps    limiter // of the Rebirths for missing messages

	units    map[string]*unit
	alive    int                        // units that are not dead
	signals  int                        // of all layouts
	profiles telemetry.Pool             // shared by units, and kept from birth to birth
	listed   map[telemetry.Epoch]bool   // the epochs of the birth
	others   map[telemetry.Epoch]bool   // epochs beside these that records or losses named since
	highest  map[telemetry.Epoch]uint64 // the highest position received of each epoch

	heartbeat sparkplug.Heartbeat
	beaten    time.Time
}

// unit is what is known of one unit of a node in the present session.
type unit struct {
	dead    bool
	died    time.Time
	layouts []layout // one a fingerprint; of one run or two
}

type layout struct {
	fingerprint uint64
	sparkplug.Layout
}

// maxLayouts is how many fingerprints one unit may have in a session: that of the
// run under way and those of ended runs that still have records.
const maxLayouts = 8

func (n *node) stale(now time.Time) bool { return !n.staleAt.IsZero() && !now.Before(n.staleAt) }

func (n *node) forgetUnits() {
	n.units, n.alive, n.signals = map[string]*unit{}, 0, 0
}

func (n *node) layout(unit string, fingerprint uint64) (sparkplug.Layout, bool) {
	u := n.units[unit]
	if u == nil {
		return sparkplug.Layout{}, false
	}
	for i := range u.layouts {
		if u.layouts[i].fingerprint == fingerprint {
			return u.layouts[i].Layout, true
		}
	}
	return sparkplug.Layout{}, false
}

func (t *Table) nodeBirth(n *node, m Message, now time.Time) Result {
	p, err := sparkplug.Decode(m.Payload, t.config.Limits.Payload)
	if err != nil {
		return Result{Reason: BadBirth, Err: err}
	}
	b, err := sparkplug.ParseNodeBirth(p)
	switch {
	case errors.Is(err, sparkplug.ErrForeign):
		n.state = foreign
		n.forgetUnits()
		return Result{Kind: Foreign}
	case err != nil:
		return Result{Reason: BadBirth, Err: err}
	}
	n.state = born
	n.bdSeq, n.session, n.version = b.BdSeq, b.Session, b.Version
	if b.Boot != n.boot {
		n.boot, n.skew, n.dating = b.Boot, skew{}, dating{}
	}
	n.skew.take(m.Received, b.Time, 0, false)
	n.heartbeat, n.beaten = b.Heartbeat, now
	n.staleAt = time.Time{}
	n.seq.restart(uint8(p.Seq))
	n.forgetUnits()

	n.listed, n.others = make(map[telemetry.Epoch]bool, len(b.Chain)), map[telemetry.Epoch]bool{}
	highest := make(map[telemetry.Epoch]uint64, len(b.Chain))
	for _, e := range b.Chain {
		n.listed[e.Epoch] = true
		if top, ok := n.highest[e.Epoch]; ok {
			highest[e.Epoch] = top
		}
	}
	answer := &Birth{NodeBirth: b, Highest: n.highest}
	n.highest = highest
	return Result{Kind: NodeBorn, Birth: answer}
}

func (t *Table) nodeDeath(n *node, m Message) Result {
	p, err := sparkplug.Decode(m.Payload, t.config.Limits.Payload)
	if err != nil {
		return Result{Reason: Unidentified, Err: err}
	}
	bdSeq, err := sparkplug.ParseNodeDeath(p)
	if err != nil {
		return Result{Reason: Unidentified, Err: err}
	}
	if bdSeq != n.bdSeq {
		return Result{Reason: OldDeath}
	}
	n.state = dead
	n.forgetUnits()
	return Result{Kind: NodeDied}
}

func (t *Table) unitBirth(n *node, m Message, now time.Time) Result {
	p, err := sparkplug.Decode(m.Payload, t.config.Limits.Payload)
	if err != nil {
		return Result{Reason: BadBirth, Err: err}
	}
	gap := n.follow(p, m, now)
	b, err := sparkplug.ParseUnitBirth(m.Topic.Device, p)
	if err == nil {
		err = telemetry.CheckID("unit", m.Topic.Device)
	}
	if err != nil {
		return Result{Reason: BadBirth, Err: err, Gap: gap}
	}
	if b.Session != 0 && b.Session != n.session {
		r := t.drop(n, now, WrongSession, nil) // of another box of this name: its aliases are not this one's
		r.Gap = gap
		return r
	}
	fingerprint := b.Profile.Fingerprint()
	if known, ok := n.layout(b.Unit, fingerprint); ok && !known.Profile.SameRow(b.Profile) {
		return Result{Reason: BadBirth, Err: errors.New("its profile has the fingerprint of another one"), Gap: gap}
	}
	b.Profile = n.profiles.Share(fingerprint, b.Profile)
	if err := t.remember(n, b, fingerprint); err != nil {
		return Result{Reason: TooManyUnits, Err: err, Gap: gap}
	}
	return Result{Kind: UnitBorn, Unit: b, Gap: gap}
}

// remember puts the birth's layout in the place of an older one of its fingerprint.
func (t *Table) remember(n *node, b *sparkplug.UnitBirth, fingerprint uint64) error {
	u := n.units[b.Unit]
	l := layout{fingerprint, b.Layout()}
	if !u.replace(l) {
		if err := t.makeRoom(n, u, len(b.Profile.Signals)); err != nil {
			return err
		}
		if u == nil {
			u = &unit{dead: true}
			n.units[strings.Clone(b.Unit)] = u
		}
		n.signals += u.add(l)
	}
	if u.dead {
		u.dead = false
		n.alive++
	}
	return nil
}

// replace puts l in the place of a layout with its fingerprint, if there is one.
func (u *unit) replace(l layout) bool {
	if u == nil {
		return false
	}
	for i := range u.layouts {
		if u.layouts[i].fingerprint == l.fingerprint {
			u.layouts[i] = l
			return true
		}
	}
	return false
}

// add adds a layout, in the place of the oldest when there are many, and returns by
// how many signals the unit has grown.
func (u *unit) add(l layout) (grown int) {
	if len(u.layouts) == maxLayouts {
		grown = -len(u.layouts[0].Profile.Signals)
		u.layouts = u.layouts[1:]
	}
	u.layouts = append(u.layouts, l)
	return grown + len(l.Profile.Signals)
}

// makeRoom forgets dead units until u, which may be new (nil), can grow by signals.
func (t *Table) makeRoom(n *node, u *unit, signals int) error {
	for n.signals+signals > t.config.Limits.Signals || (u == nil && len(n.units) >= t.config.Limits.Units) {
		if !n.forgetDeadUnit(u) {
			return fmt.Errorf("node has %d units with %d signals, and room for %d and %d",
				len(n.units), n.signals, t.config.Limits.Units, t.config.Limits.Signals)
		}
	}
	return nil
}

// forgetDeadUnit forgets the unit that died first, but not keep. It reports whether
// there was one.
func (n *node) forgetDeadUnit(keep *unit) bool {
	var name string
	var first *unit
	for id, u := range n.units {
		if u != keep && u.dead && (first == nil || u.died.Before(first.died)) {
			name, first = id, u
		}
	}
	if first == nil {
		return false
	}
	for _, l := range first.layouts {
		n.signals -= len(l.Profile.Signals)
	}
	delete(n.units, name)
	return true
}

func (t *Table) unitDeath(n *node, m Message, now time.Time) Result {
	p, err := sparkplug.Decode(m.Payload, t.config.Limits.Payload)
	if err != nil {
		return Result{Reason: Unidentified, Err: err}
	}
	gap := n.follow(p, m, now)
	u := n.units[m.Topic.Device]
	if u == nil {
		return Result{Reason: UnknownUnit, Gap: gap}
	}
	// The layout stays: a record of the unit may still be repeated, and within a
	// session its aliases have no other meaning.
	if !u.dead {
		u.dead, u.died = true, now
		n.alive--
	}
	return Result{Kind: UnitDied, Gap: gap}
}

// follow counts a message whose seq stands in a decoded payload, and looks at its time.
func (n *node) follow(p *sparkplug.Payload, m Message, now time.Time) int {
	if p.HasTimestamp {
		n.skew.take(m.Received, p.Timestamp, 0, false)
	}
	if !p.HasSeq {
		return 0
	}
	return n.seq.take(p.Seq, now)
}
