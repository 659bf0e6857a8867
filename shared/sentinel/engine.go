package sentinel

import (
	"cmp"
	"slices"
	"time"

	"github.com/expr-lang/expr/vm"

	"andon.internal/shared/telemetry"
)

// Identity names one reading.
type Identity struct {
	Epoch    telemetry.Epoch
	Position uint64
	Row      int
}

// after reports whether i comes behind o. Epochs are ULIDs, so they sort by their
// beginning.
func (i Identity) after(o Identity) bool {
	if c := slices.Compare(i.Epoch[:], o.Epoch[:]); c != 0 {
		return c > 0
	}
	if i.Position != o.Position {
		return i.Position > o.Position
	}
	return i.Row > o.Row
}

// Subject is what an alarm is about: a unit, or with an empty Unit the node itself.
type Subject struct {
	Group string
	Node  string // the cell through which it is heard
	Unit  string
}

// Reading is one reading of a unit.
type Reading struct {
	Identity
	Time   int64             // unix ns, the cell's time
	Values []telemetry.Value // in the order of the unit's profile
}

// Kind says what happened to an alarm.
type Kind uint8

// The kinds of transitions.
const (
	Raised  Kind = 1
	Cleared Kind = 2 // the condition is normal again
	Ended   Kind = 3 // the unit left the test while the alarm was active
)

func (k Kind) String() string {
	return [...]string{"", "raised", "cleared", "ended"}[min(k, 3)]
}

// Transition is what the engine tells.
type Transition struct {
	Kind      Kind
	Rule      *Rule
	Subject   Subject
	Onset     Identity  // the reading that first made `when` true; for silence the last one heard
	OnsetTime int64     // unix ns, of that reading; 0 where none was ever heard
	At        time.Time // when it was decided: the arrival of a reading, or a deadline
	Figures   []Figure  // the features as they stood
}

// Figure is a feature's value at a transition.
type Figure struct {
	Name  string
	Value float64
	Unit  string // engineering unit, such as "degC/min"; empty for a pure number
}

// Engine evaluates rules over the readings of many units. It is not safe for
// concurrent use. Every method that takes now first tells what expired before it.
type Engine struct {
	rules   *Rules
	machine vm.VM
	nodes   map[nodeKey]*node
	units   map[unitKey]*unit
	due     deadlines
	open    map[openKey]*instance // active alarms, for suppression
	out     []Transition

	// Late counts readings that came behind a newer one of their unit; they are not
	// evaluated here.
	Late uint64
	// Repeats counts readings that came a second time.
	Repeats uint64
}

type (
	nodeKey struct{ group, node string }
	unitKey struct{ group, unit string }
	openKey struct{ alarm, group, node, unit string }
)

// NewEngine returns an engine that has heard of nothing yet.
func NewEngine(rules *Rules) *Engine {
	return &Engine{
		rules: rules, nodes: map[nodeKey]*node{}, units: map[unitKey]*unit{},
		open: map[openKey]*instance{},
	}
}

// Born says that a unit is on test at a node. backlog says that only its buffered
// readings will come: it raises no silence. It may be repeated.
func (e *Engine) Born(now time.Time, s Subject, p *telemetry.Profile, backlog bool) []Transition {
	e.expire(now)
	n := e.node(now, s.Group, s.Node)
	key := unitKey{s.Group, s.Unit}
	u := e.units[key]
	if u == nil || u.profile == nil || !u.profile.SameRow(p) {
		u = e.newUnit(s, p, u)
		e.units[key] = u
	}
	u.profile = p // its texts may be others than before
	if !u.active || u.node != n {
		u.heard = now
	}
	u.node, u.active, u.subject.Node = n, !backlog, s.Node
	e.schedule(u.instances, now)
	return e.take()
}

// Died says that a unit left the test. Its active alarms end.
func (e *Engine) Died(now time.Time, s Subject) []Transition {
	e.expire(now)
	if u := e.units[unitKey{s.Group, s.Unit}]; u != nil {
		for _, i := range u.instances {
			e.end(i, now)
		}
		delete(e.units, unitKey{s.Group, s.Unit})
	}
	return e.take()
}

// Heard says that the node gave a sign of life: its birth, a heartbeat, any message.
func (e *Engine) Heard(now time.Time, group, id string) []Transition {
	e.expire(now)
	n := e.node(now, group, id)
	n.heard, n.dead = now, false
	for _, i := range n.instances {
		e.step(i, now, Identity{}, 0)
	}
	return e.take()
}

// Clock says how far the clock of a node that was heard is off, in either direction. It
// counts from the next sign of life.
func (e *Engine) Clock(group, id string, off time.Duration) {
	e.tellOf(group, id, "skew", max(off, -off).Seconds())
}

// Disk says whether something is wrong with the disk of a node that was heard. It counts
// from the next sign of life.
func (e *Engine) Disk(group, id string, fault bool) {
	v := 0.0
	if fault {
		v = 1
	}
	e.tellOf(group, id, "disk", v)
}

func (e *Engine) tellOf(group, id, fn string, v float64) {
	if n := e.nodes[nodeKey{group, id}]; n != nil {
		if n.told == nil {
			n.told = map[string]float64{}
		}
		n.told[fn] = v
	}
}

// NodeDied says that the node's death was announced, by itself or by the broker.
func (e *Engine) NodeDied(now time.Time, group, id string) []Transition {
	e.expire(now)
	n := e.node(now, group, id)
	n.dead = true
	for _, i := range n.instances {
		e.step(i, now, Identity{}, 0)
	}
	return e.take()
}

// Reading evaluates a reading of a unit that was born. A reading of a unit that was
// not, and one that is late or a repeat, changes nothing but a count.
func (e *Engine) Reading(now time.Time, s Subject, r Reading) []Transition {
	e.expire(now)
	u := e.units[unitKey{s.Group, s.Unit}]
	switch {
	case u == nil || u.profile == nil || len(r.Values) != len(u.profile.Signals):
		return e.take()
	case u.any && r.Identity == u.last:
		e.Repeats++
		return e.take()
	case u.any && !r.after(u.last):
		e.Late++
		return e.take()
	}
	u.take(now, r)
	for _, i := range u.instances {
		i.elapse(now)
		i.sample(r)
		e.step(i, now, r.Identity, r.Time)
	}
	e.schedule(u.instances, now)
	return e.take()
}

// Restore makes an alarm active without telling: it was raised before a restart.
func (e *Engine) Restore(alarm string, s Subject, onset Identity, onsetTime int64) {
	var list []*instance
	if s.Unit == "" {
		list = e.node(time.Time{}, s.Group, s.Node).instances
	} else {
		u := e.units[unitKey{s.Group, s.Unit}]
		if u == nil {
			u = &unit{subject: s}
			e.units[unitKey{s.Group, s.Unit}] = u
		}
		list = e.ensure(u, alarm)
	}
	for _, i := range list {
		if i.rule.Alarm == alarm {
			i.condition, i.onset, i.onsetTime = active, onset, onsetTime
			e.open[i.key()] = i
		}
	}
}

// Rearm lets every silence that is not told count from now: what was said until now may
// not have been heard. It tells nothing, not even what expired. Silence that is told
// stays so until the next sign of life, and an announced death counts as before.
func (e *Engine) Rearm(now time.Time) {
	for _, n := range e.nodes {
		if !n.dead && !n.heard.IsZero() {
			n.heard = now
			keep(n.instances)
			e.rearm(n.instances, now)
		}
	}
	for _, u := range e.units {
		if !u.heard.IsZero() {
			u.heard = now
			keep(u.instances)
			e.rearm(u.instances, now)
		}
	}
}

// keep lets silence that was about to clear wait for another sign of life.
func keep(list []*instance) {
	for _, i := range list {
		if i.rule.silence != "" && i.condition == clearing {
			i.condition = active
		}
	}
}

// Tick tells what expired until now.
func (e *Engine) Tick(now time.Time) []Transition {
	e.expire(now)
	return e.take()
}

// Next returns when Tick has something to tell, if anything is under way.
func (e *Engine) Next() (time.Time, bool) {
	if len(e.due) == 0 {
		return time.Time{}, false
	}
	return e.due[0].deadline, true
}

func (e *Engine) take() []Transition {
	out := e.out
	e.out = nil
	return out
}

// Active returns the alarms that are active, by alarm, group, node and unit.
func (e *Engine) Active() []Transition {
	var out []Transition
	for _, i := range e.open {
		out = append(out, Transition{
			Kind: Raised, Rule: &i.rule.Rule, Subject: i.subject(),
			Onset: i.onset, OnsetTime: i.onsetTime,
		})
	}
	slices.SortFunc(out, func(a, b Transition) int {
		return cmp.Or(
			cmp.Compare(a.Rule.Alarm, b.Rule.Alarm), cmp.Compare(a.Subject.Group, b.Subject.Group),
			cmp.Compare(a.Subject.Node, b.Subject.Node), cmp.Compare(a.Subject.Unit, b.Subject.Unit))
	})
	return out
}
