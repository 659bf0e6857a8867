// Package sentry is the collector's sentinel: it runs the rules over live traffic and
// keeps the alarms.
//
// It stands behind the feed, beside the intake and independent of it: readings are
// evaluated when they arrive, before any database write, and timers (delays, silence)
// fire at their deadlines. Each change of an alarm is published over MQTT at once,
// journalled in PostgreSQL, and acknowledgements come back over MQTT.
//
// It promises that a lost database neither delays nor loses an alarm while the process
// lives, that a restart goes on with the alarms that are open and tells none of them
// twice, and that of several sentries one speaks (it holds the lease) while the others
// evaluate along and stand by.
package sentry

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"andon.internal/collector/feed"
	"andon.internal/shared/alarm"
	"andon.internal/shared/ops"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

// Config configures a Sentry. The zero value of each field but Rules means its default.
type Config struct {
	Rules   *sentinel.Rules // required
	Broker  func() error    // nil, or why nothing is heard; it must not call the Sentry. Default: nil
	Repeat  time.Duration   // between two publications of all open alarms; 10 s
	Lease   time.Duration   // how long the lease outlives its holder; 5 s
	Settle  time.Duration   // how long after a node's birth its units have to be born; 5 s
	Pending int             // changes that wait for the journal; 65,536
	Nodes   int             // nodes that are watched; 4,096
	Logger  *slog.Logger    // default: none
	Metrics *Metrics        // default: counts, unregistered
}

func (c Config) withDefaults() Config {
	c.Repeat = orDefault(c.Repeat, 10*time.Second)
	c.Lease = orDefault(c.Lease, 5*time.Second)
	c.Settle = orDefault(c.Settle, 5*time.Second)
	c.Pending = orDefault(c.Pending, 65_536)
	c.Nodes = orDefault(c.Nodes, 4096)
	if c.Broker == nil {
		c.Broker = func() error { return nil }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	return c
}

func orDefault[T int | time.Duration](v, fallback T) T {
	if v <= 0 {
		return fallback
	}
	return v
}

// Link is the connection to the broker.
type Link interface {
	// Send publishes with QoS 1 and may lose the message.
	Send(topic string, payload []byte) error
}

// pulseLimit is after what time the loop counts as one that no longer turns.
const pulseLimit = time.Minute

// Sentry is the sentinel role of a collector. Its methods are safe for concurrent use.
type Sentry struct {
	config   Config
	link     Link
	journals Journals
	log      *slog.Logger
	metrics  *Metrics
	pulse    *ops.Pulse
	wake     chan struct{} // capacity 1: a deadline came before the one waited for
	writes   chan struct{} // capacity 1: the journal has something to write
	sends    chan struct{} // capacity 1: something is to be published

	mu       sync.Mutex
	engine   *sentinel.Engine
	clock    time.Time // never goes back
	armed    time.Time // what the timer waits for
	turn     time.Time // when the timer fires at the latest
	deaf     bool      // there was no broker at the last look
	mode     mode
	broken   error // why the journal is not written
	failures int   // attempts at it, since the last that succeeded
	book     book
	nodes    map[telemetry.Node]*node
	units    map[unitKey]*unit
	pending  []Change               // for the journal
	outbox   map[string]alarm.Alarm // for the broker
}

// New returns a Sentry for [Sentry.Run].
func New(c Config, link Link, journals Journals) (*Sentry, error) {
	if c.Rules == nil || link == nil || journals == nil {
		return nil, errors.New("make sentry: rules, link and journals are required")
	}
	c = c.withDefaults()
	s := &Sentry{
		config: c, link: link, journals: journals, log: c.Logger, metrics: c.Metrics,
		pulse: ops.NewPulse(pulseLimit),
		wake:  make(chan struct{}, 1), writes: make(chan struct{}, 1), sends: make(chan struct{}, 1),
		engine: sentinel.NewEngine(c.Rules), broken: errors.New("was not reached yet"),
		book:  book{byID: map[string]*entry{}, byKey: map[alarmKey]*entry{}},
		nodes: map[telemetry.Node]*node{}, units: map[unitKey]*unit{},
		outbox: map[string]alarm.Alarm{}, turn: time.Now(),
	}
	return s, nil
}

// Take takes an event of the feed and tells what follows from it. It does no I/O.
func (s *Sentry) Take(e feed.Event) {
	deaf := s.config.Broker() != nil
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.advance(e.Received)
	s.listen(now, deaf)
	if e.Skew.Known {
		s.engine.Clock(e.Node.Group, e.Node.ID, e.Skew.By)
	}
	switch h := e.Heartbeat; {
	case e.Kind == feed.NodeBorn:
		s.engine.Disk(e.Node.Group, e.Node.ID, e.Birth.Heartbeat.DiskFault != "")
	case h != nil:
		s.engine.Disk(e.Node.Group, e.Node.ID, h.DiskFault != "")
	}
	switch e.Kind {
	case feed.NodeBorn:
		s.nodeBorn(now, e.Node)
	case feed.NodeDied:
		if s.nodes[e.Node] != nil {
			s.apply(s.engine.NodeDied(now, e.Node.Group, e.Node.ID))
		}
	case feed.NodeHeard:
		s.heard(now, e.Node)
	case feed.UnitBorn:
		s.heard(now, e.Node)
		s.unitBorn(now, e.Node, e.Unit)
	case feed.UnitDied:
		s.heard(now, e.Node)
		s.unitDied(now, unitKey{e.Node.Group, e.UnitID})
	case feed.Record:
		s.heard(now, e.Node)
		s.record(now, &e)
	case feed.Other:
		if alarm.IsAck(e.Topic) { // pages in the same process hear more
			s.acknowledge(now, e.Topic, e.Payload)
		}
	}
	if next := s.nextLocked(); !next.IsZero() && (s.armed.IsZero() || next.Before(s.armed)) {
		signal(s.wake)
	}
}

// nextLocked is when something happens by itself, or zero.
func (s *Sentry) nextLocked() time.Time {
	next, _ := s.engine.Next()
	for _, n := range s.nodes {
		if !n.settle.IsZero() && (next.IsZero() || n.settle.Before(next)) {
			next = n.settle
		}
	}
	return next
}

// Alive returns nil, or that the loop no longer turns: only a restart mends that.
func (s *Sentry) Alive() error { return s.pulse.Check() }

// Journal returns nil, or why alarms are not journalled, or not by this sentry.
func (s *Sentry) Journal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mode == standby:
		return errors.New("another collector holds the sentinel lease; this one stands by")
	case s.mode == starting && s.broken == nil:
		return errors.New("the journal was not read yet; open alarms of before are not known")
	}
	return s.broken
}

// Open returns the alarms that are active or not acknowledged, in no order.
func (s *Sentry) Open() []alarm.Alarm {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]alarm.Alarm, 0, len(s.book.byID))
	for _, e := range s.book.byID {
		list = append(list, e.Alarm)
	}
	return list
}

// Run works until ctx ends: what waits for broker and journal then is given one more
// attempt. It returns nil.
func (s *Sentry) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { s.keep(ctx) })
	all.Go(func() { s.publish(ctx) })
	s.time(ctx)
	all.Wait()
	return nil
}

// signal wakes who waits on a channel of capacity 1.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
