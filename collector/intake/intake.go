// Package intake takes what cells send and brings it into the database: MQTT
// messages are decoded, checked, batched, stored in one transaction, and only then
// acknowledged.
//
// It stands between the broker (package host) and the store. The receiving handler
// only counts and queues; nodes are hashed to lanes, each a worker that decodes
// (package session) and a writer with at most one transaction; one goroutine sends
// acknowledgements, credits and Rebirths (package reply); another keeps the lease that
// makes this the one active intake.
//
// It promises that nothing is acknowledged that the database has not committed, that
// the handler never blocks, that memory is bounded in bytes from the handler to the
// commit, decoded records included, and that neither a lost broker nor a lost database ends it: without a
// database it goes on receiving and tells the cells to hold.
//
// Nodes of other makers are recognised by their births and counted; their data is
// not stored, and beside a Rebirth to learn who they are nothing is sent to them.
package intake

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"andon.internal/collector/intake/reply"
	"andon.internal/collector/session"
	"andon.internal/shared/ops"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// Config configures an Intake. The zero value of each field means its default.
type Config struct {
	// Queue bounds what is received and not yet settled, in bytes of memory; 64 MiB. A
	// record that takes more decoded than seven eighths of it is never taken; the
	// largest takes 17 MiB.
	Queue   int64
	Writers int           // lanes: workers, and transactions at a time; 2
	Flush   time.Duration // the shortest time between the starts of two transactions of a writer; 20 ms
	Lease   time.Duration // how long the lease outlives its holder; 5 s
	// StaleWait is how long after a connection to the broker nodes have to say
	// their births by themselves, before they are asked; 1 s.
	StaleWait time.Duration
	Session   session.Config
	Reply     reply.Config
	Logger    *slog.Logger // default: none
	Metrics   *Metrics     // default: counts, unregistered
}

func (c Config) withDefaults() Config {
	if c.Queue <= 0 {
		c.Queue = 64 << 20
	}
	if c.Writers <= 0 {
		c.Writers = 2
	}
	if c.Flush <= 0 {
		c.Flush = 20 * time.Millisecond
	}
	if c.Lease <= 0 {
		c.Lease = 5 * time.Second
	}
	if c.StaleWait <= 0 {
		c.StaleWait = time.Second
	}
	if c.Reply.Bytes <= 0 {
		c.Reply.Bytes = c.Queue / 2
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	return c
}

// pulseLimit is after what time a loop counts as one that no longer turns; a hanging
// network holds up the acknowledgements for far less.
const pulseLimit = time.Minute

// Link is the connection to the broker.
type Link interface {
	// Publish sends to a node with QoS 0 and may lose the message.
	Publish(topic string, payload []byte) error
	// Announce says whether this process is the active host application.
	Announce(online bool)
}

// Intake is the intake role of a collector. Receive and the methods that tell its
// state are safe for concurrent use.
type Intake struct {
	config  Config
	link    Link
	leases  Leases
	log     *slog.Logger
	metrics *Metrics

	seed   maphash.Seed
	budget budget
	lanes  []*lane
	db     *database
	keeper *attempts // at the lease
	mode   modeVar
	poison throttle // of the log
	reject throttle

	pulse *ops.Pulse // of who acknowledges

	boardMu sync.Mutex
	board   *reply.Board
	wake    chan struct{} // capacity 1: something is to be said
}

// New returns an Intake for [Intake.Run].
func New(c Config, link Link, leases Leases) (*Intake, error) {
	if link == nil || leases == nil {
		return nil, errors.New("make intake: link and leases are required")
	}
	c = c.withDefaults()
	i := &Intake{
		config: c, link: link, leases: leases, log: c.Logger, metrics: c.Metrics,
		seed:  maphash.MakeSeed(),
		db:    newDatabase(c.Logger),
		board: reply.New(c.Reply),
		wake:  make(chan struct{}, 1),
		pulse: ops.NewPulse(pulseLimit),
	}
	i.keeper = i.db.attempts()
	i.budget.limit = c.Queue
	for range c.Writers {
		i.lanes = append(i.lanes, newLane(i))
	}
	c.Metrics.watch(i)
	return i, nil
}

// Receive takes one message from the broker. It never blocks: beyond the queue's
// bound the message is dropped, counted and not acknowledged, so that it comes
// again. The payload becomes the intake's.
func (i *Intake) Receive(topic string, payload []byte, retained bool, received time.Time) {
	i.metrics.bytes.Add(float64(len(payload)))
	t, err := sparkplug.ParseTopic(topic)
	if err != nil {
		i.metrics.drop(reasonTopic)
		return
	}
	i.metrics.messages[t.Type].Inc()
	if retained {
		// Births and data are never retained: it is old, or forged.
		i.metrics.drop(reasonRetained)
		return
	}
	cost := costOf(payload)
	if !i.budget.take(cost, t.Type != sparkplug.DData) {
		i.metrics.drop(reasonQueue)
		return
	}
	n := telemetry.Node{Group: t.Group, ID: t.Node}
	i.lanes[i.lane(n)].push(session.Message{Topic: t, Payload: payload, Received: received})
}

// lane is which of the lanes is a node's.
func (i *Intake) lane(n telemetry.Node) int {
	return int(maphash.Comparable(i.seed, n) % uint64(len(i.lanes)))
}

// Connected says that the connection to the broker is new: births may have been
// missed. It never blocks.
func (i *Intake) Connected() {
	now := time.Now()
	for _, l := range i.lanes {
		l.stale(now, i.config.StaleWait)
	}
}

// Run works until ctx ends: what is being committed then is finished and
// acknowledged, the rest comes again. It returns nil.
func (i *Intake) Run(ctx context.Context) error {
	var lanes, acker sync.WaitGroup
	stop, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	for _, l := range i.lanes {
		lanes.Go(func() { l.decode(ctx) })
	}
	acker.Go(func() { i.acknowledge(stop) })
	i.keep(ctx)
	lanes.Wait()
	cancel()
	acker.Wait()
	return nil
}

// Database returns nil, or why the database does not take the data of all nodes.
func (i *Intake) Database() error {
	now := time.Now()
	for _, l := range i.lanes {
		if err := l.writer.attempts.down(now); err != nil {
			return err
		}
	}
	return nil
}

// Lease returns nil, or why this intake is not the active one.
func (i *Intake) Lease() error {
	switch i.mode.get() {
	case active:
		return nil
	case standby:
		return errors.New("another collector holds the intake lease; this one stands by")
	}
	return errors.New("the database was not reached yet; cells are told to hold")
}

// Alive returns nil, or which loop no longer turns: only a restart mends that.
func (i *Intake) Alive() error {
	if err := i.pulse.Check(); err != nil {
		return fmt.Errorf("acknowledging %w", err)
	}
	for _, l := range i.lanes {
		if err := l.pulse.Check(); err != nil {
			return fmt.Errorf("decoding %w", err)
		}
	}
	return nil
}

// Nodes returns what is known of every node that was heard.
func (i *Intake) Nodes() []session.Node {
	var list []session.Node
	for _, l := range i.lanes {
		list = append(list, l.nodes()...)
	}
	return list
}
