package intake

import (
	"context"
	"sync"
	"time"

	"andon.internal/collector/intake/reply"
	"andon.internal/collector/session"
	"andon.internal/shared/ops"
	"andon.internal/shared/sparkplug"
)

// lane is one worker with its writer: the nodes that hash to it are decoded by one
// goroutine and committed by one, so that their order and their state need no
// further thought.
type lane struct {
	intake *Intake
	queue  queue
	writer *writer
	pulse  *ops.Pulse

	mu    sync.Mutex
	table *session.Table
}

func newLane(i *Intake) *lane {
	return &lane{
		intake: i,
		queue:  queue{ready: make(chan struct{}, 1)},
		writer: newWriter(i),
		pulse:  ops.NewPulse(pulseLimit),
		table:  session.New(i.config.Session),
	}
}

func (l *lane) push(m session.Message) { l.queue.push(m) }

// tickEvery is how often a lane looks at what time alone brings about.
const tickEvery = 250 * time.Millisecond

// askSoon is how long behind a new connection nodes are asked whose births are not
// known: the subscription must be granted first.
const askSoon = 100 * time.Millisecond

// decode handles messages until ctx ends.
func (l *lane) decode(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	var list []session.Message
	for {
		l.pulse.Beat()
		select {
		case <-ctx.Done():
			return
		case <-l.queue.ready:
			list = l.queue.take(list)
			for n := range list {
				l.handle(list[n])
				list[n] = session.Message{} // the payload may go
			}
		case <-tick.C:
			l.tick(time.Now())
		}
	}
}

// handle takes one message through the table and does what follows from it.
func (l *lane) handle(m session.Message) {
	i, cost := l.intake, costOf(m.Payload)
	l.mu.Lock()
	if i.mode.get() == standby {
		l.table.See(m, time.Now())
		l.mu.Unlock()
		i.budget.give(cost)
		return
	}
	r := l.table.Handle(m, time.Now())
	l.mu.Unlock()

	if r.Gap > 0 {
		i.metrics.gaps.Add(float64(r.Gap))
	}
	switch r.Kind {
	case session.Data:
		l.data(r, m)
		return
	case session.NodeBorn:
		i.log.Info("node is born", "node", r.Node, "session", r.Birth.Session, "version", r.Birth.Version,
			"epochs", len(r.Birth.Chain))
		i.onBoard(func(b *reply.Board, _ time.Time) { b.Born(r.Node) })
		l.writer.sync(r.Node, r.Birth, cost)
		return
	}
	i.budget.give(cost)
	switch r.Kind {
	case session.NodeDied:
		i.log.Info("node has died", "node", r.Node)
		i.onBoard(func(b *reply.Board, _ time.Time) { b.Gone(r.Node) })
	case session.UnitBorn:
		if !r.Unit.Backlog {
			l.writer.born(r.Node, r.Unit)
		}
	case session.UnitDied:
		l.writer.died(r.Node, m.Topic.Device)
	case session.Foreign:
		i.metrics.foreign.Inc()
		if m.Topic.Type == sparkplug.NBirth { // it may have been ours
			i.onBoard(func(b *reply.Board, _ time.Time) { b.Gone(r.Node) })
		}
	case session.Dropped:
		i.metrics.drop(string(r.Reason))
		i.log.Debug("message is dropped", "node", r.Node, "type", m.Topic.Type, "unit", m.Topic.Device,
			"reason", r.Reason, "error", r.Err)
	}
	if r.Rebirth {
		i.rebirth(r.Node, string(r.Reason))
	}
}

// data hands an entry to the writer. What it takes decoded is taken from the budget
// in the place of the message; where that is not there it is dropped, and comes again.
func (l *lane) data(r session.Result, m session.Message) {
	i := l.intake
	if r.Entry.Poison != nil {
		if skipped, ok := i.poison.pass(time.Now()); ok {
			i.log.Warn("record cannot be decoded and is quarantined", "node", r.Node,
				"epoch", r.Entry.Epoch, "position", r.Entry.Position, "error", r.Err, "others", skipped)
		}
	}
	cost := costOfEntry(r.Entry)
	i.weigh(r.Node, len(m.Payload), cost)
	if !i.budget.exchange(costOf(m.Payload), cost, false) {
		i.metrics.drop(reasonQueue)
		return
	}
	l.writer.add(*r.Entry, cost)
}

// tick does what time alone brings about.
func (l *lane) tick(now time.Time) {
	i := l.intake
	l.mu.Lock()
	if i.mode.get() == standby {
		l.mu.Unlock()
		return
	}
	due := l.table.Tick(now)
	l.mu.Unlock()
	for _, n := range due.Rebirths {
		i.rebirth(n, "births may have been missed")
	}
	for _, n := range due.Gone {
		i.log.Warn("node is silent and counts as gone", "node", n)
		i.onBoard(func(b *reply.Board, _ time.Time) { b.Gone(n) })
	}
}

// stale marks births as perhaps missed; see [session.Table.Stale].
func (l *lane) stale(now time.Time, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table.Stale(now, askSoon, wait)
}

// reset forgets all births; see [session.Table.Reset].
func (l *lane) reset(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table.Reset(now)
}

func (l *lane) nodes() []session.Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.table.Nodes()
}

// askUnborn makes the next tick ask the nodes whose births are not known; see
// [session.Table.AskUnborn].
func (l *lane) askUnborn(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table.AskUnborn(now)
}
