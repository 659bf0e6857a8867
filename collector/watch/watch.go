// Package watch makes live Sparkplug traffic readable: one event a message, as text
// for people or as JSON lines for programs.
//
// It stands beside the flow and only listens. It learns the layouts of records from
// the births it sees, and before it has seen them from the profiles it was given, so
// that values have their signals' names; what it cannot name it prints with its
// alias. It promises to print every message in some form, also malformed ones.
package watch

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// Filters returns the topic filters for what a person asked to see: nothing for
// everything, GROUP, GROUP/NODE or GROUP/NODE/UNIT with + for any, or a topic filter
// that begins with spBv1.0/.
func Filters(text string) ([]string, error) {
	if text == "" {
		return []string{sparkplug.Namespace + "/#"}, nil
	}
	if strings.HasPrefix(text, sparkplug.Namespace+"/") {
		return []string{text}, nil
	}
	levels := strings.Split(text, "/")
	for _, l := range levels {
		if l == "" || len(levels) > 3 || (l != "+" && strings.ContainsAny(l, "+#")) {
			return nil, fmt.Errorf("filter %q is not GROUP, GROUP/NODE or GROUP/NODE/UNIT with + for any", text)
		}
	}
	switch len(levels) {
	case 1:
		return []string{sparkplug.Namespace + "/" + levels[0] + "/#"}, nil
	case 2:
		return []string{sparkplug.Namespace + "/" + levels[0] + "/+/" + levels[1] + "/#"}, nil
	}
	return []string{
		sparkplug.Namespace + "/" + levels[0] + "/NBIRTH/" + levels[1],
		sparkplug.Namespace + "/" + levels[0] + "/+/" + levels[1] + "/" + levels[2],
	}, nil
}

// Bounds of what is remembered; beyond them it is learnt anew.
const (
	maxLayouts = 65536
	maxSignals = 1 << 20 // of different profiles
)

// layoutKey names what a layout is for.
type layoutKey struct {
	node        telemetry.Node
	unit        string
	fingerprint uint64
}

// Decoder turns messages into events. It remembers births and is not safe for
// concurrent use.
type Decoder struct {
	profiles map[uint64]*telemetry.Profile
	layouts  map[layoutKey]sparkplug.Layout
	pool     telemetry.Pool
	signals  int // at most so many have the profiles of layouts
}

// NewDecoder returns a decoder that knows the given profiles.
func NewDecoder(profiles []*telemetry.Profile) *Decoder {
	d := &Decoder{profiles: map[uint64]*telemetry.Profile{}, layouts: map[layoutKey]sparkplug.Layout{}}
	for _, p := range profiles {
		d.profiles[p.Fingerprint()] = p
	}
	return d
}

// Event is one message, decoded. The fields that do not apply are absent from its
// JSON form.
type Event struct {
	Time     time.Time `json:"time"` // of receipt
	Topic    string    `json:"topic"`
	Type     string    `json:"type,omitempty"` // NBIRTH ... STATE
	Group    string    `json:"group,omitempty"`
	Node     string    `json:"node,omitempty"`
	Unit     string    `json:"unit,omitempty"`
	Retained bool      `json:"retained,omitempty"`
	Bytes    int       `json:"bytes"`
	Error    string    `json:"error,omitempty"`

	Birth     *Birth           `json:"birth,omitempty"`
	UnitBirth *UnitBirth       `json:"unit_birth,omitempty"`
	BdSeq     *uint8           `json:"bd_seq,omitempty"` // of an NDEATH
	Record    *Record          `json:"record,omitempty"`
	Loss      *Loss            `json:"loss,omitempty"`
	Heartbeat *Heartbeat       `json:"heartbeat,omitempty"`
	Ack       string           `json:"ack,omitempty"`
	Rebirth   bool             `json:"rebirth,omitempty"`
	State     *sparkplug.State `json:"state,omitempty"`
	Metrics   []Metric         `json:"metrics,omitempty"` // of what is not Andon's, or has no layout yet
}

// Birth is an NBIRTH of an Andon node.
type Birth struct {
	Session uint64  `json:"session"`
	BdSeq   uint8   `json:"bd_seq"`
	Version string  `json:"version"`
	Chain   []Epoch `json:"chain"`
}

// Epoch is an epoch of a birth's chain.
type Epoch struct {
	Epoch string `json:"epoch"`
	End   string `json:"end"`
	Next  uint64 `json:"next"`
	Held  string `json:"held"`
}

// UnitBirth is a DBIRTH of an Andon node.
type UnitBirth struct {
	Profile string    `json:"profile"`
	Version int       `json:"version"`
	Born    time.Time `json:"born"`
	Backlog bool      `json:"backlog,omitempty"`
	Signals []string  `json:"signals"`
}

// Identity is what names a record or a loss.
type Identity struct {
	Epoch    string `json:"epoch"`
	Position uint64 `json:"position"`
	Session  uint64 `json:"session"`
}

// Record is a DDATA of an Andon node. Rows is absent when its layout is not known.
type Record struct {
	Identity
	Historical bool      `json:"historical,omitempty"`
	Born       time.Time `json:"born"`
	Count      uint64    `json:"count"` // readings of the run before this record
	RowCount   int       `json:"row_count"`
	Profile    string    `json:"profile,omitempty"`
	Rows       []Row     `json:"rows,omitempty"`
	End        string    `json:"end,omitempty"` // why the run ended
}

// Row is one reading.
type Row struct {
	Time    time.Time `json:"time"`
	Quality string    `json:"quality"`
	Values  Values    `json:"values"`
}

// Loss is a loss record.
type Loss struct {
	Identity
	Of       string   `json:"of"` // the epoch in which positions are lost
	From     uint64   `json:"from"`
	To       uint64   `json:"to"`
	Reason   string   `json:"reason"`
	Units    []string `json:"units,omitempty"`
	Readings uint64   `json:"readings"`
}

// Heartbeat is an NDATA of an Andon node.
type Heartbeat struct {
	Rows     uint64  `json:"rows"`
	Records  uint64  `json:"records"`
	Bytes    uint64  `json:"bytes"`
	OldestS  float64 `json:"oldest_s"`
	DiskFree uint64  `json:"disk_free"`
	Clock    string  `json:"clock"`
	Stops    uint32  `json:"stops"`
	Lost     uint64  `json:"lost"`
}

// Metric is a metric as it stands in a payload.
type Metric struct {
	Name  string  `json:"name,omitempty"`
	Alias *uint64 `json:"alias,omitempty"`
	Value string  `json:"value"`
}

// Decode decodes a message.
func (d *Decoder) Decode(topic string, payload []byte, retained bool, at time.Time) Event {
	e := Event{Time: at, Topic: topic, Retained: retained, Bytes: len(payload)}
	t, err := sparkplug.ParseTopic(topic)
	if err != nil {
		e.Error = err.Error()
		return e
	}
	e.Type, e.Group, e.Node, e.Unit = t.Type.String(), t.Group, t.Node, t.Device
	if err := d.decode(&e, t, payload); err != nil {
		e.Error = err.Error()
	}
	return e
}

func (d *Decoder) decode(e *Event, t sparkplug.Topic, payload []byte) error {
	if t.Type == sparkplug.HostState {
		s, err := sparkplug.ParseState(payload)
		if err == nil {
			e.State = &s
		}
		return err
	}
	if env, err := sparkplug.Peek(payload); !errors.Is(err, sparkplug.ErrForeign) {
		if err != nil {
			return err
		}
		return d.own(e, t, env, payload)
	}
	p, err := sparkplug.Decode(payload, sparkplug.Limits{})
	if err != nil {
		return err
	}
	err = d.general(e, t, p)
	if errors.Is(err, sparkplug.ErrForeign) {
		e.Metrics, err = metrics(p), nil
	}
	return err
}

// general decodes what is neither a record nor a loss.
func (d *Decoder) general(e *Event, t sparkplug.Topic, p *sparkplug.Payload) error {
	switch t.Type {
	case sparkplug.NBirth:
		b, err := sparkplug.ParseNodeBirth(p)
		if err == nil {
			d.forget(telemetry.Node{Group: t.Group, ID: t.Node})
			e.Birth = newBirth(b)
		}
		return err
	case sparkplug.DBirth:
		b, err := sparkplug.ParseUnitBirth(t.Device, p)
		if err == nil {
			d.learn(telemetry.Node{Group: t.Group, ID: t.Node}, b)
			e.UnitBirth = newUnitBirth(b)
		}
		return err
	case sparkplug.NDeath:
		n, err := sparkplug.ParseNodeDeath(p)
		if err == nil {
			e.BdSeq = &n
		}
		return err
	case sparkplug.NData:
		h, ok := sparkplug.ParseHeartbeat(p)
		if !ok {
			return sparkplug.ErrForeign
		}
		e.Heartbeat = newHeartbeat(h)
	case sparkplug.NCmd, sparkplug.DCmd:
		c, err := sparkplug.ParseCommand(p)
		if err != nil {
			return err
		}
		if e.Rebirth = c.Rebirth; c.Ack != nil {
			e.Ack = c.Ack.String()
		}
		if !c.Rebirth && c.Ack == nil {
			return sparkplug.ErrForeign
		}
	case sparkplug.DData:
		return sparkplug.ErrForeign
	}
	return nil
}

func (d *Decoder) forget(n telemetry.Node) {
	for k := range d.layouts {
		if k.node == n {
			delete(d.layouts, k)
		}
	}
}

// count returns how many signals the profiles of the layouts have.
func (d *Decoder) count() (n int) {
	seen := map[*telemetry.Profile]bool{}
	for _, l := range d.layouts {
		if !seen[l.Profile] {
			seen[l.Profile] = true
			n += len(l.Profile.Signals)
		}
	}
	return n
}

func (d *Decoder) learn(n telemetry.Node, b *sparkplug.UnitBirth) {
	full := len(d.layouts) >= maxLayouts
	if d.signals >= maxSignals { // as far as was added up
		d.signals = d.count()
		full = full || d.signals >= maxSignals/2
	}
	if full {
		clear(d.layouts)
		d.pool, d.signals = telemetry.Pool{}, 0
	}
	fingerprint, l := b.Profile.Fingerprint(), b.Layout()
	if l.Profile = d.pool.Share(fingerprint, b.Profile); l.Profile == b.Profile {
		d.signals += len(b.Profile.Signals)
	}
	d.layouts[layoutKey{n, b.Unit, fingerprint}] = l
}
