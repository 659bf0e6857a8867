// Package feed turns MQTT messages into what happened in the plant: a node was born,
// heard or died, a unit was born or died, a record came. It is how the roles that look
// at live traffic, the sentinel and the web, hear the cells.
//
// It stands between the broker (package host) and those roles, beside the intake and
// independent of it. The receiving handler only queues; one goroutine decodes (package
// session) and calls the sinks, in order. It promises that the handler never blocks,
// that the queue is bounded in bytes, that a record is decoded only with a layout
// announced in its session, and that a node whose births it does not know is asked for
// them.
package feed

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/collector/session"
	"andon.internal/shared/ops"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// Kind says what an event is.
type Kind uint8

// The kinds of events.
const (
	NodeBorn  Kind = iota + 1 // Birth is set
	NodeDied                  // its death was announced
	NodeHeard                 // any other sign of life; Heartbeat is set where it was one
	UnitBorn                  // Unit is set
	UnitDied                  // UnitID is set
	Record                    // Record, Epoch and Position are set
	Other                     // not of a node: Topic and Payload are set
)

// Event is what one message says. What its pointers lead to is shared and read only.
type Event struct {
	Kind     Kind
	Node     telemetry.Node
	Received time.Time    // with a monotonic reading
	Skew     session.Skew // of the node's clock

	Birth     *sparkplug.NodeBirth
	Heartbeat *sparkplug.Heartbeat // of NodeHeard
	Unit      *sparkplug.UnitBirth
	UnitID    string // of UnitBorn and UnitDied
	Record    *telemetry.Record
	Epoch     telemetry.Epoch
	Position  uint64
	Old       bool // of Record: it was sent before, or is from a backlog

	Topic   string
	Payload []byte
}

// Sink takes events, one at a time and in order. It must not block for long: the
// messages behind wait in the feed's queue.
type Sink func(Event)

// Config configures a Feed. The zero value of each field means its default.
type Config struct {
	Queue   int64 // bytes received and not yet handed on; 32 MiB
	Session session.Config
	// StaleWait is how long after a connection to the broker nodes have to say
	// their births by themselves, before they are asked; 1 s.
	StaleWait time.Duration
	// Ask sends a Rebirth to a node; it may lose it. Required.
	Ask     func(n telemetry.Node)
	Sinks   []Sink
	Logger  *slog.Logger          // default: none
	Metrics prometheus.Registerer // default: counts, unregistered
}

// overhead is what a message costs beside its payload.
const overhead = 512

// pulseLimit is after what time the loop counts as one that no longer turns.
const pulseLimit = time.Minute

// Feed decodes messages for its sinks. Its methods are safe for concurrent use.
type Feed struct {
	config  Config
	log     *slog.Logger
	table   *session.Table // of Run alone
	pulse   *ops.Pulse
	dropped prometheus.Counter
	refused prometheus.Counter // retained messages

	mu    sync.Mutex
	list  []message
	bytes int64
	stale time.Time // the last new connection that Run has not seen
	ready chan struct{}
}

type message struct {
	topic    string
	payload  []byte
	received time.Time
}

// New returns a Feed for [Feed.Run].
func New(c Config) (*Feed, error) {
	if c.Ask == nil {
		return nil, errors.New("make feed: Ask is required")
	}
	if c.Queue <= 0 {
		c.Queue = 32 << 20
	}
	if c.StaleWait <= 0 {
		c.StaleWait = time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Feed{
		config: c, log: c.Logger, table: session.New(c.Session), pulse: ops.NewPulse(pulseLimit),
		ready: make(chan struct{}, 1),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "andon_feed_dropped_total", Help: "Messages that the full queue of the live picture had no room for.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "andon_feed_retained_total", Help: "Retained messages that were refused: births, data and acknowledgements never are.",
		}),
	}
	if c.Metrics != nil {
		c.Metrics.MustRegister(f.dropped, f.refused)
	}
	return f, nil
}

// Receive takes one message from the broker. It never blocks: beyond the queue's bound
// the message is dropped and counted. The payload is not written to.
func (f *Feed) Receive(topic string, payload []byte, retained bool, received time.Time) {
	if retained {
		f.refused.Inc() // what is kept for who comes later is old, or forged
		return
	}
	cost := int64(len(payload)) + overhead
	f.mu.Lock()
	full := f.bytes+cost > f.config.Queue
	if !full {
		f.list, f.bytes = append(f.list, message{topic, payload, received}), f.bytes+cost
	}
	f.mu.Unlock()
	if full {
		f.dropped.Inc()
		return
	}
	f.signal()
}

// Connected says that the connection to the broker is new: births may have been missed.
// It never blocks.
func (f *Feed) Connected() {
	f.mu.Lock()
	f.stale = time.Now()
	f.mu.Unlock()
	f.signal()
}

func (f *Feed) signal() {
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

// Alive returns nil, or that the loop no longer turns: only a restart mends that.
func (f *Feed) Alive() error { return f.pulse.Check() }

// tickEvery is how often the feed looks at what time alone brings about.
const tickEvery = 250 * time.Millisecond

// askSoon is how long behind a new connection nodes are asked whose births are not
// known: the subscription must be granted first.
const askSoon = 100 * time.Millisecond

// Run hands events on until ctx ends, and returns nil.
func (f *Feed) Run(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		f.pulse.Beat()
		select {
		case <-ctx.Done():
			return nil
		case <-f.ready:
			f.drain(ctx)
		case now := <-tick.C:
			for _, n := range f.table.Tick(now).Rebirths {
				f.config.Ask(n)
			}
		}
	}
}

// drain handles all that is queued.
func (f *Feed) drain(ctx context.Context) {
	f.mu.Lock()
	list, stale := f.list, f.stale
	f.list, f.stale = nil, time.Time{}
	f.mu.Unlock()
	if !stale.IsZero() {
		f.table.Stale(stale, askSoon, f.config.StaleWait)
	}
	for i := range list {
		if ctx.Err() != nil {
			return
		}
		m := list[i]
		list[i] = message{} // the payload may go
		f.handle(m)
		f.mu.Lock()
		f.bytes -= int64(len(m.payload)) + overhead
		f.mu.Unlock()
	}
}

func (f *Feed) handle(m message) {
	if !strings.HasPrefix(m.topic, sparkplug.Namespace+"/") {
		f.tell(Event{Kind: Other, Received: m.received, Topic: m.topic, Payload: m.payload})
		return
	}
	t, err := sparkplug.ParseTopic(m.topic)
	if err != nil {
		return
	}
	r := f.table.Handle(session.Message{Topic: t, Payload: m.payload, Received: m.received}, time.Now())
	if r.Rebirth {
		f.config.Ask(r.Node)
	}
	if e, ok := f.event(t, &r); ok {
		e.Node, e.Received, e.Skew = r.Node, m.received, r.Skew
		f.tell(e)
	}
}

// event says what a result means; ok is false when it is of no use to a sink.
func (f *Feed) event(t sparkplug.Topic, r *session.Result) (e Event, ok bool) {
	switch r.Kind {
	case session.NodeBorn:
		return Event{Kind: NodeBorn, Birth: r.Birth.NodeBirth}, true
	case session.NodeDied:
		return Event{Kind: NodeDied}, true
	case session.UnitBorn:
		return Event{Kind: UnitBorn, Unit: r.Unit, UnitID: r.Unit.Unit}, true
	case session.UnitDied:
		return Event{Kind: UnitDied, UnitID: strings.Clone(t.Device)}, true
	case session.Heartbeat:
		return Event{Kind: NodeHeard, Heartbeat: r.Heartbeat}, true
	case session.Data:
		if r.Entry.Record != nil {
			return Event{Kind: Record, Record: r.Entry.Record, Epoch: r.Entry.Epoch, Position: r.Entry.Position, Old: r.Entry.Historical}, true
		}
		return Event{Kind: NodeHeard}, true
	case session.Dropped:
		switch r.Reason {
		case session.UnknownNode, session.UnknownUnit, session.WrongSession:
			return Event{Kind: NodeHeard}, true
		}
	}
	return Event{}, false
}

func (f *Feed) tell(e Event) {
	for _, sink := range f.config.Sinks {
		sink(e)
	}
}
