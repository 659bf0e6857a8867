package session

import (
	"strings"
	"time"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// Table is the nodes of one shard of the intake.
type Table struct {
	config Config
	nodes  map[telemetry.Node]*node
}

// New returns an empty table.
func New(c Config) *Table {
	return &Table{config: c.withDefaults(), nodes: map[telemetry.Node]*node{}}
}

// Handle takes the next message of a node and says what it is. It never fails: a
// message of no use is a Result of kind Dropped.
func (t *Table) Handle(m Message, now time.Time) Result {
	id := nodeOf(m.Topic)
	switch m.Topic.Type {
	case sparkplug.NBirth, sparkplug.NDeath, sparkplug.DBirth, sparkplug.DDeath, sparkplug.NData, sparkplug.DData:
	default:
		return Result{Reason: Unexpected}
	}
	n := t.admit(id)
	if n == nil {
		return Result{Reason: TooManyNodes}
	}
	n.heard = now
	n.messages++
	r := t.dispatch(n, m, now)
	r.Node, r.Skew = n.id, n.skew.now(m.Received)
	return r
}

func nodeOf(t sparkplug.Topic) telemetry.Node { return telemetry.Node{Group: t.Group, ID: t.Node} }

func (t *Table) dispatch(n *node, m Message, now time.Time) Result {
	if err := n.id.Check(); err != nil {
		// Not a name that Andon gives: at best another vendor's node.
		n.state = foreign
		return Result{Kind: Foreign, Err: err}
	}
	if m.Topic.Type == sparkplug.NBirth {
		return t.nodeBirth(n, m, now)
	}
	switch n.state {
	case foreign:
		return Result{Kind: Foreign}
	case unborn, dead:
		return t.unborn(n, m, now)
	}
	switch m.Topic.Type {
	case sparkplug.NDeath:
		return t.nodeDeath(n, m)
	case sparkplug.DBirth:
		return t.unitBirth(n, m, now)
	case sparkplug.DDeath:
		return t.unitDeath(n, m, now)
	case sparkplug.NData:
		return t.nodeData(n, m, now)
	}
	return t.unitData(n, m, now)
}

// unborn answers whatever comes from a node whose births are not known: it asks for
// them, unless the message is its death.
func (t *Table) unborn(n *node, m Message, now time.Time) Result {
	if m.Topic.Type == sparkplug.NDeath {
		return Result{Reason: OldDeath}
	}
	return t.drop(n, now, UnknownNode, nil)
}

// drop is a message that only new births can put right.
func (t *Table) drop(n *node, now time.Time, why Reason, err error) Result {
	return Result{Reason: why, Err: err, Rebirth: t.ask(n, now)}
}

func (t *Table) ask(n *node, now time.Time) bool {
	return n.asked.ask(now, t.config.RebirthMin, t.config.RebirthMax)
}

// admit returns the node, made if need be, or nil when the table is full of nodes
// that are alive.
func (t *Table) admit(id telemetry.Node) *node {
	if n := t.nodes[id]; n != nil {
		return n
	}
	if len(t.nodes) >= t.config.Limits.Nodes && !t.evict() {
		return nil
	}
	// The ids are parts of a whole topic; a node outlives it.
	n := &node{id: telemetry.Node{Group: strings.Clone(id.Group), ID: strings.Clone(id.ID)}}
	t.nodes[n.id] = n
	return n
}

// evict forgets the node that has been silent longest, of those that are not
// alive. It reports whether there was one.
func (t *Table) evict() bool {
	var oldest *node
	for _, n := range t.nodes {
		if n.state != born && (oldest == nil || n.heard.Before(oldest.heard)) {
			oldest = n
		}
	}
	if oldest == nil {
		return false
	}
	delete(t.nodes, oldest.id)
	return true
}

// Reset forgets every birth, as after a time in which another collector may have
// been at work, and keeps the nodes' names. The next [Table.Tick] asks them all.
func (t *Table) Reset(now time.Time) {
	for _, n := range t.nodes {
		*n = node{
			id: n.id, heard: n.heard, messages: n.messages, state: n.state,
			heartbeat: n.heartbeat, beaten: n.beaten,
		}
		if n.state == born {
			n.state = unborn
			n.staleAt = now
		}
	}
}

// Stale marks every node that is alive, as after the connection to the broker was
// lost: births may have been missed. What fits the births that are known is still
// taken. A [Table.Tick] at wait or later asks those that did not say their births
// by themselves; whose births are not known is asked at soon, because an earlier
// Rebirth may not have been sent.
func (t *Table) Stale(now time.Time, soon, wait time.Duration) {
	for _, n := range t.nodes {
		switch n.state {
		case born:
			n.staleAt = now.Add(wait)
		case unborn:
			n.staleAt = now.Add(soon)
		default:
			continue
		}
		n.asked = limiter{}
		n.seq = sequence{}
	}
}

// Due says what time alone brings about.
type Due struct {
	Rebirths []telemetry.Node // to be asked for their births now
	Gone     []telemetry.Node // silent for so long that they count as gone
}

// Tick returns what is due at now. It is called a few times a second.
func (t *Table) Tick(now time.Time) Due {
	var d Due
	for _, n := range t.nodes {
		if n.state == born && now.Sub(n.heard) >= t.config.Silence {
			n.state = dead
			n.forgetUnits()
			d.Gone = append(d.Gone, n.id)
		}
		if t.wantsRebirth(n, now) {
			d.Rebirths = append(d.Rebirths, n.id)
			n.staleAt = time.Time{}
			n.seq.forgive()
		}
	}
	return d
}

// wantsRebirth reports whether a node is to be asked now. A gap alone is a weak
// reason: every record that matters comes again, and births missed with it are
// noticed by what needs them. So gaps ask rarely, lest births add to an overload.
func (t *Table) wantsRebirth(n *node, now time.Time) bool {
	switch {
	case n.state != born && n.state != unborn:
		return false
	case n.stale(now):
		return t.ask(n, now)
	}
	return n.state == born && n.seq.overdue(now, t.config.Reorder) &&
		n.gaps.ask(now, t.config.RebirthMax, 8*t.config.RebirthMax)
}

// Node is what is known of one node, for people and metrics.
type Node struct {
	ID        telemetry.Node
	Alive     bool // its birth is known and no death followed
	Foreign   bool
	Version   string
	Units     int // born and not dead
	Heard     time.Time
	Messages  uint64              // received since it was first heard
	Heartbeat sparkplug.Heartbeat // the last one; zero before the first
	Beaten    time.Time           // when it came; zero before the first
}

// Nodes returns a copy of what is known of every node, in no order.
func (t *Table) Nodes() []Node {
	list := make([]Node, 0, len(t.nodes))
	for _, n := range t.nodes {
		list = append(list, Node{
			ID: n.id, Alive: n.state == born, Foreign: n.state == foreign, Version: n.version,
			Units: n.alive, Heard: n.heard, Messages: n.messages, Heartbeat: n.heartbeat, Beaten: n.beaten,
		})
	}
	return list
}
