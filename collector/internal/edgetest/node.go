// Package edgetest is a scripted edge node for the tests of the collector: it makes
// the messages of a node, right or wrong, and with [Dial] sends them over MQTT and
// hears the answers. It does nothing by itself: the script is the test's.
package edgetest

import (
	"crypto/rand"
	"time"

	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// Message is one message to or from the broker.
type Message struct {
	Topic   string
	Payload []byte
}

// Dyno is a small profile for tests, with one signal of each type.
func Dyno() *telemetry.Profile {
	return &telemetry.Profile{Name: "bench", Version: 1, Signals: []telemetry.Signal{
		{Name: "torque_nm", Type: telemetry.Double, Unit: "N.m"},
		{Name: "temp_c", Type: telemetry.Real, Unit: "degC"},
		{Name: "cycles", Type: telemetry.Integer},
		{Name: "running", Type: telemetry.Boolean},
	}}
}

// NewEpoch returns a random epoch.
func NewEpoch() (e telemetry.Epoch) {
	_, _ = rand.Read(e[:]) // never fails
	e[0] &= 0x7f           // a ULID's time is 48 bits
	return e
}

// Node makes the messages of one node. Its fields may be changed by the script.
type Node struct {
	ID      telemetry.Node
	Boot    [16]byte
	Session uint64
	BdSeq   uint8
	Seq     uint8 // of the next message
	Epoch   telemetry.Epoch
	Next    uint64                 // the next position
	Old     []sparkplug.ChainEpoch // epochs before
	Held    ranges.Set
	Profile *telemetry.Profile
	Now     func() time.Time // the node's clock; nil: time.Now
	Uptime  int64            // CLOCK_BOOTTIME in ns at which records are sent; 0: not said

	aliases map[string]uint64
	alias   uint64
}

// NewNode returns a node in a new epoch and its first session.
func NewNode(group, id string) *Node {
	return &Node{
		ID: telemetry.Node{Group: group, ID: id}, Boot: NewEpoch(), Session: 1, BdSeq: 1,
		Epoch: NewEpoch(), Profile: Dyno(), aliases: map[string]uint64{},
	}
}

// Connect begins a new session: another will, another session number.
func (n *Node) Connect() {
	n.Session++
	n.BdSeq++
	n.Seq, n.alias = 0, 0
	clear(n.aliases)
}

// Restart begins a new epoch and a new session, as a start of the agent does. What
// was held is held on; clean says how the old epoch ended.
func (n *Node) Restart(clean bool) {
	end := sparkplug.EndUnclean
	if clean {
		end = sparkplug.EndClosed
	}
	prev := telemetry.Epoch{}
	if len(n.Old) > 0 {
		prev = n.Old[len(n.Old)-1].Epoch
	}
	n.Old = append(n.Old, sparkplug.ChainEpoch{Epoch: n.Epoch, Prev: prev, End: end, Next: n.Next, Held: n.Held})
	n.Epoch, n.Next, n.Held = NewEpoch(), 0, ranges.Set{}
	n.Connect()
}

func (n *Node) topic(t sparkplug.MessageType, device string) string {
	return sparkplug.Topic{Type: t, Group: n.ID.Group, Node: n.ID.ID, Device: device}.String()
}

// now is the node's clock in ms.
func (n *Node) now() uint64 {
	if n.Now == nil {
		return uint64(time.Now().UnixMilli())
	}
	return uint64(n.Now().UnixMilli())
}

func (n *Node) seq() uint8 {
	n.Seq++
	return n.Seq - 1
}

// Birth is the NBIRTH of the present session.
func (n *Node) Birth() Message {
	n.Seq = 1
	prev := telemetry.Epoch{}
	if len(n.Old) > 0 {
		prev = n.Old[len(n.Old)-1].Epoch
	}
	chain := append(n.Old[:len(n.Old):len(n.Old)], sparkplug.ChainEpoch{
		Epoch: n.Epoch, Prev: prev, End: sparkplug.EndOpen, Next: n.Next, Held: n.Held,
	})
	b := sparkplug.NodeBirth{
		Time: n.now(), BdSeq: n.BdSeq, Session: n.Session, Version: "test", Boot: n.Boot, Chain: chain,
	}
	return Message{n.topic(sparkplug.NBirth, ""), b.Append(nil)}
}

// Death is the NDEATH of the present session.
func (n *Node) Death() Message {
	return Message{n.topic(sparkplug.NDeath, ""), sparkplug.AppendNodeDeath(nil, n.now(), n.BdSeq)}
}

// UnitBirth is the DBIRTH of a unit whose run began at born (unix ns).
func (n *Node) UnitBirth(unit string, born int64, backlog bool) Message {
	first, ok := n.aliases[unit]
	if !ok {
		first = n.alias
		n.aliases[unit] = first
		n.alias += uint64(len(n.Profile.Signals))
	}
	b := sparkplug.UnitBirth{
		Time: n.now(), Session: n.Session, Unit: unit, Profile: n.Profile, FirstAlias: first, Born: born, Backlog: backlog,
	}
	return Message{n.topic(sparkplug.DBirth, unit), b.Append(nil, n.seq())}
}

// UnitDeath is the DDEATH of a unit.
func (n *Node) UnitDeath(unit string) Message {
	return Message{n.topic(sparkplug.DDeath, unit), sparkplug.AppendUnitDeath(nil, n.now(), n.seq())}
}

// Heartbeat is an NDATA.
func (n *Node) Heartbeat(h sparkplug.Heartbeat) Message {
	return Message{n.topic(sparkplug.NData, ""), h.Append(nil, n.now(), n.seq())}
}

// Reading returns a record of the unit with rows readings 1 ms apart from at (unix
// ns), whose values follow from count, the number of the first.
func (n *Node) Reading(unit string, born, at int64, count uint64, rows int) *telemetry.Record {
	r := &telemetry.Record{Unit: unit, Profile: n.Profile, Born: born, Count: count}
	for i := range rows {
		c := count + uint64(i)
		values := make([]telemetry.Value, len(n.Profile.Signals))
		for s := range n.Profile.Signals {
			values[s] = Value(n.Profile.Signals[s].Type, c, s)
		}
		r.Append(at+int64(i)*1e6, 0, values)
	}
	return r
}

// Value is the value that [Node.Reading] gives to signal s of reading c.
func Value(t telemetry.Type, c uint64, s int) telemetry.Value {
	switch t {
	case telemetry.Double:
		return telemetry.DoubleValue(float64(c) + float64(s)/1024)
	case telemetry.Real:
		return telemetry.RealValue(float32(c%4096) / 8)
	case telemetry.Integer:
		return telemetry.IntegerValue(int64(c))
	}
	return telemetry.BooleanValue(c%2 == 0)
}

// Data is the DDATA of a record under the next position, which is then held.
func (n *Node) Data(r *telemetry.Record) Message {
	at := n.Next
	n.Next++
	n.Held.Add(at, at+1)
	return n.DataAt(at, r, false)
}

// DataAt is the DDATA of a record under a position of the present epoch.
func (n *Node) DataAt(position uint64, r *telemetry.Record, historical bool) Message {
	return n.DataOf(n.Epoch, position, r, historical)
}

// DataOf is the DDATA of a record under a position of any epoch.
func (n *Node) DataOf(e telemetry.Epoch, position uint64, r *telemetry.Record, historical bool) Message {
	return n.data(sparkplug.Header{Epoch: e, Position: position, Session: n.Session}, r, historical)
}

// Moved is the DDATA of a record that had another name, under the next position.
func (n *Node) Moved(r *telemetry.Record) Message {
	h := sparkplug.Header{Epoch: n.Epoch, Position: n.Next, Session: n.Session, Moved: true}
	n.Held.Add(n.Next, n.Next+1)
	n.Next++
	return n.data(h, r, true)
}

func (n *Node) data(h sparkplug.Header, r *telemetry.Record, historical bool) Message {
	h.SentBoot = n.Uptime
	return Message{
		n.topic(sparkplug.DData, r.Unit),
		sparkplug.AppendRecord(nil, h, r, n.aliases[r.Unit], n.now(), n.seq(), historical),
	}
}

// Loss is the NDATA that tells a loss, under the next position.
func (n *Node) Loss(l telemetry.Loss) Message {
	h := sparkplug.Header{Epoch: n.Epoch, Position: n.Next, Session: n.Session}
	n.Held.Add(n.Next, n.Next+1)
	n.Next++
	return Message{n.topic(sparkplug.NData, ""), sparkplug.AppendLoss(nil, h, l, n.now(), n.seq())}
}
