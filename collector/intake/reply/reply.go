// Package reply keeps what the collector owes each cell: acknowledgements of what is
// committed, answers to births, the credit, the state of the database, and requests
// to say the births again.
//
// It stands in intake behind the writers. A [Board] is told what was committed, and
// says at any time which messages are to be sent now and when to ask again. It
// promises that only what it was told to be committed is acknowledged, that a cell
// hears at most every Interval and at least every Idle, that what one lost message
// said is said again, and that the credits of all cells together stay below the
// bounds it was given.
//
// The package is pure: time comes in as an argument, and nothing here does I/O or
// starts a goroutine. A Board is not safe for concurrent use.
package reply

import (
	"slices"
	"time"

	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// Config configures a Board. The zero value of each field means its default.
type Config struct {
	Interval time.Duration // the shortest time between two acknowledgements to a node; 20 ms
	Idle     time.Duration // the longest; 1 s
	// Repeat is for how long a committed position is said again every Idle, so that
	// a lost acknowledgement is healed; 5 s.
	Repeat time.Duration
	// SyncAgain is when the answer to a birth is repeated, since nothing answers it;
	// 2 s and 10 s after the first time.
	SyncAgain []time.Duration
	Records   int   // in flight over all nodes: half of the broker's queue for the collector; 4,096
	Bytes     int64 // in flight over all nodes, as they take memory: half of the intake queue; 32 MiB
	MaxText   int   // bytes of one acknowledgement's text; 16 KiB
	// Rebirths bounds the births asked for per second, over all nodes, since each
	// node answers with all it has; 100.
	Rebirths int
}

func (c Config) withDefaults() Config {
	c.Interval = orDefault(c.Interval, 20*time.Millisecond)
	c.Idle = orDefault(c.Idle, time.Second)
	c.Repeat = orDefault(c.Repeat, 5*time.Second)
	if c.SyncAgain == nil {
		c.SyncAgain = []time.Duration{2 * time.Second, 10 * time.Second}
	}
	c.Records = orDefault(c.Records, 4096)
	c.Bytes = orDefault(c.Bytes, 32<<20)
	c.MaxText = orDefault(c.MaxText, 16<<10)
	c.Rebirths = orDefault(c.Rebirths, 100)
	return c
}

func orDefault[T int | int64 | time.Duration](v, fallback T) T {
	if v <= 0 {
		return fallback
	}
	return v
}

// Out is a message to one node: an acknowledgement, or with Ack nil a Rebirth.
type Out struct {
	Node telemetry.Node
	Ack  *sparkplug.Ack
}

// Epochs is positions by epoch.
type Epochs map[telemetry.Epoch]ranges.Set

// Board is what is owed to each node.
type Board struct {
	config Config
	nodes  map[telemetry.Node]*owed
	asked  []telemetry.Node // Rebirths that wait, in order
	asks   bucket
	load   float64 // how full the intake queue is, 0 to 1
	active int     // nodes with data of late; counted by share
}

// New returns an empty board that says db=ok and a full credit.
func New(c Config) *Board {
	c = c.withDefaults()
	return &Board{config: c, nodes: map[telemetry.Node]*owed{}, asks: bucket{rate: float64(c.Rebirths)}}
}

// owed is what is owed to one node that is alive.
type owed struct {
	fresh         Epochs // committed and not yet said
	news          bool   // something else than positions is to be said
	db            sparkplug.DBState
	recent, older Epochs // committed in this span of Repeat, and in the one before
	turned        time.Time
	said          time.Time // the last message
	repeated      time.Time // the last time that recent and older were said
	data          time.Time // the last commit
	weight        float64   // bytes of memory that a byte of its records takes
	sync          *answer
	queue         []sparkplug.Ack // what is being said: parts that wait for the next Interval
}

// answer is the answer to a birth, kept for its repeats.
type answer struct {
	session uint64
	has     Epochs
	again   []time.Time // when to say it (again)
}

// Born makes a node one that is spoken to. What an earlier session waited for is
// forgotten: the node asked anew.
func (b *Board) Born(n telemetry.Node) {
	o := b.nodes[n]
	if o == nil {
		o = &owed{fresh: Epochs{}, recent: Epochs{}, older: Epochs{}, weight: 1}
		b.nodes[n] = o
	}
	o.sync, o.queue, o.news = nil, nil, true
}

// Gone ends speaking to a node, until it is born again.
func (b *Board) Gone(n telemetry.Node) { delete(b.nodes, n) }

// Reset forgets all nodes and all they are owed, as when another collector took over.
func (b *Board) Reset() {
	clear(b.nodes)
	b.asked = nil
}

// Committed says that positions of a node are durable: committed, or quarantined
// for good. Positions of a node that is not spoken to are forgotten: it asks when
// it comes back. The board keeps no reference to done.
func (b *Board) Committed(n telemetry.Node, done Epochs, now time.Time) {
	o := b.nodes[n]
	if o == nil {
		return
	}
	o.turn(now, b.config.Repeat)
	o.data = now
	o.fresh.add(done)
	o.recent.add(done)
	if o.sync != nil {
		o.sync.has.add(done)
	}
}

// Answer is what the store has of the epochs that a node listed in its birth of
// this session. It is said at once, in parts, and again later.
func (b *Board) Answer(n telemetry.Node, session uint64, has Epochs, now time.Time) {
	o := b.nodes[n]
	if o == nil {
		return
	}
	o.sync = &answer{session: session, has: Epochs{}, again: []time.Time{now}}
	o.sync.has.add(has)
	for _, wait := range b.config.SyncAgain {
		o.sync.again = append(o.sync.again, now.Add(wait))
	}
}

// Rebirth asks a node to say its births again, once however often it is called
// before it is sent. It reports whether it will be: beyond maxAsked nodes that wait to
// be asked it is not, and whoever still needs it asks again.
func (b *Board) Rebirth(n telemetry.Node) bool {
	switch {
	case slices.Contains(b.asked, n):
		return true
	case len(b.asked) >= maxAsked:
		return false
	}
	b.asked = append(b.asked, n)
	return true
}

// maxAsked is 40 seconds' worth of Rebirths.
const maxAsked = 4096

// Database sets the state that the acknowledgements of each node carry, until the next
// call. A change is told at once.
func (b *Board) Database(of func(telemetry.Node) sparkplug.DBState) {
	for n, o := range b.nodes {
		if s := of(n); s != o.db {
			o.db, o.news = s, true
		}
	}
}

// Load says how full the intake queue is, from 0 to 1; the credit shrinks with it.
func (b *Board) Load(full float64) { b.load = full }

// turn drops what was said for long enough.
func (o *owed) turn(now time.Time, repeat time.Duration) {
	if now.Sub(o.turned) >= repeat {
		o.turned = now
		o.recent, o.older = o.older, o.recent
		clear(o.recent)
	}
}

func (e Epochs) add(more Epochs) {
	for epoch, set := range more {
		mine := e[epoch]
		mine.AddSet(set)
		e[epoch] = mine
	}
}
