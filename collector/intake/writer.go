package intake

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"andon.internal/collector/session"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// Bounds of one transaction: enough to spread its cost, little enough that the
// nodes it holds up do not notice.
const (
	maxBatchEntries = 4096
	maxBatchBytes   = 4 << 20
	// fullBatch is when a batch does not wait for company.
	fullBatch = 1 << 20
	// maxSyncsARound is how many births of nodes are answered between two batches, and
	// maxUnitsARound how many of units are noted: all nodes of a plant are born at once
	// when a broker restarts, and fresh readings do not wait for that.
	maxSyncsARound = 8
	maxUnitsARound = 8
	// maxBirths bounds the births of units that wait to be noted, as they do while the
	// database is away; 4 MiB or so. The others are noted by their first records.
	maxBirths = 16384
	// maxNoted bounds what is remembered of noted births.
	maxNoted = 65536
)

// writer brings the entries of its lane into the database, one transaction at a time.
type writer struct {
	intake   *Intake
	ready    chan struct{} // capacity 1: there is work
	attempts *attempts     // at the database

	mu      sync.Mutex
	entries waiting
	syncs   []syncJob
	births  map[key]Unit

	portion portion       // of the run loop alone
	noted   map[key]int64 // runs known to the database; of the run loop alone
	forget  atomic.Bool   // noted is of a database that is gone
}

// syncJob is a birth to answer, behind everything of the node that was received
// before it: what waits here would be told as lost. It keeps what its message took
// from the budget.
type syncJob struct {
	node  telemetry.Node
	birth *session.Birth
	after uint64
	cost  int64
}

// key names a unit of a node.
type key struct {
	node telemetry.Node
	unit string
}

func newWriter(i *Intake) *writer {
	return &writer{
		intake: i, ready: make(chan struct{}, 1), attempts: i.db.attempts(),
		births: map[key]Unit{}, noted: map[key]int64{}, portion: newPortion(),
	}
}

// add puts an entry in the queue. A standby's is nobody's to write; it gives up what it
// is given, as it did with what waited when it became one.
func (w *writer) add(e session.Entry, cost int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.intake.mode.get() == standby {
		w.intake.budget.give(cost)
		return
	}
	w.entries.add(e, cost)
	signal(w.ready)
}

// sync puts a birth in the queue, in the place of an older one of the node; see add.
func (w *writer) sync(n telemetry.Node, b *session.Birth, cost int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.intake.mode.get() == standby {
		w.intake.budget.give(cost)
		return
	}
	older := slices.IndexFunc(w.syncs, func(j syncJob) bool { return j.node == n })
	if older >= 0 {
		w.intake.budget.give(w.syncs[older].cost)
		w.syncs = slices.Delete(w.syncs, older, older+1)
	}
	w.syncs = append(w.syncs, syncJob{n, b, w.entries.accepted, cost})
	signal(w.ready)
}

// born has a unit noted as on test; see add. What is kept is no part of the message.
func (w *writer) born(n telemetry.Node, b *sparkplug.UnitBirth) {
	u := Unit{Name: strings.Clone(b.Unit), Profile: strings.Clone(b.Profile.Name), Born: b.Born}
	k := key{n, u.Name}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, waits := w.births[k]
	switch {
	case w.intake.mode.get() == standby:
	case !waits && len(w.births) >= maxBirths:
		w.intake.metrics.unnoted.Inc()
	default:
		w.births[k] = u
		signal(w.ready)
	}
}

// died takes back a birth that waits: the record of the run's end tells of both.
func (w *writer) died(n telemetry.Node, unit string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.births, key{n, unit})
}

// discard gives up all that waits. It was not acknowledged, so it comes again.
func (w *writer) discard() {
	w.mu.Lock()
	list := w.entries.clear()
	for _, j := range w.syncs {
		w.intake.budget.give(j.cost)
	}
	w.syncs = nil
	clear(w.births)
	w.mu.Unlock()
	w.release(list)
}

func (w *writer) release(list []item) { w.intake.budget.give(costOfItems(list)) }

// run writes until ctx ends, or returns why the lease is no longer good.
func (w *writer) run(ctx context.Context, lease Lease) error {
	clear(w.noted)
	var began time.Time
	for {
		if !w.idle() {
			signal(w.ready)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.ready:
		}
		if err := w.company(ctx, began); err != nil {
			return nil
		}
		began = time.Now()
		if err := w.round(ctx, lease); err != nil {
			return err
		}
	}
}

func (w *writer) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.entries.len() == 0 && len(w.births) == 0 && !slices.ContainsFunc(w.syncs, w.due)
}

// company waits until Flush has passed since the last transaction began, so that
// under load a transaction carries many entries, or until there is a batch's worth.
// After a quiet time it does not wait at all.
func (w *writer) company(ctx context.Context, began time.Time) error {
	for {
		rest := w.intake.config.Flush - time.Since(began)
		if rest <= 0 || w.waiting() >= fullBatch {
			return nil
		}
		timer := time.NewTimer(rest)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-w.ready:
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// waiting is the bytes that wait, counted up to a full batch.
func (w *writer) waiting() (bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.entries.len() >= maxBatchEntries {
		return fullBatch
	}
	return w.entries.bytes(fullBatch)
}

// due reports whether everything that was received before a birth is settled. It is
// called with mu held.
func (w *writer) due(j syncJob) bool { return j.after <= w.entries.settled() }
