package buffer

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"andon.internal/shared/ranges"
)

// Buffer is a durable queue of records. All methods are safe for concurrent use.
type Buffer struct {
	o       Options
	log     *slog.Logger // never with mu held: see late
	late    *lateLog
	m       *Metrics
	handles *handles

	began      int64         // unix ns; epochs that began later are of this process
	changed    chan struct{} // see Changed
	kick       chan struct{} // capacity 1: the flusher looks again
	stop, done chan struct{} // the flusher is to end; has ended
	closeOnce  sync.Once
	closeErr   error

	// disk is held by whoever changes files: one flush, move or close at a time.
	disk    sync.Mutex
	chain   *chain // its err says that there is to be a new one: see mendChain
	active  *file  // is written; nil when the next write makes one
	scratch []byte // of the transaction that runs

	taken, stored, device atomic.Int64 // bytes: see Written

	attaching sync.Mutex // held by Attach
	reading   sync.Mutex // one reader of files at a time, so that few are open

	// mu guards everything below. It is never held while the disk is used.
	mu         sync.Mutex
	x          index
	closed     bool
	detached   error             // why the folder is not in use: see attach.go; nil while it is
	cursors    map[string]cursor // on disk
	names      map[string]bool   // of all cursors, also those still to be written
	generation uint64            // of the latest cursor
	owner      [16]byte          // the buffer's id, in every file; set by Open
	known      map[string]knownCursor

	losses   map[string]*openLoss // by reason
	told     []toldLoss           // the last ones that became records
	lossWait time.Duration        // until an open loss of a full buffer is closed
	lost     tally                // records and rows, since Open

	// Positions of the current epoch: see next.go.
	noted             uint64 // below it are in the chain file; changes with disk held
	rejected          uint64 // below it some were used up by appends without room
	noteDue, lastNote time.Time

	full    bool    // no room: the policy says what is lost, and sources with a cursor wait
	stuffed bool    // and nothing older can be let go of either
	thinned thinned // how far policy Thin has come
	shedAt  *Key    // nothing before it can be let go of but alarms; nil where that is not known
	spares  []spare // what is let go of last, though it is of class Bulk

	cramped  int64         // what the files may take while the file system has no more; 0 while it has
	spaceDue time.Time     // when to look whether it has; zero when that is not wanted
	space    chan struct{} // closed when there is
	behind   chan struct{} // closed when the disk has caught up with sources with a cursor; nil when none waits

	ballastWarned bool // that it cannot be made; changes with disk held

	retained   []retained   // oldest first
	moves      []*move      // under way, in their order
	moved      uint64       // see Moved
	movedAt    time.Time    // when one last went on
	inPlace    []brokenFile // damaged files that still have their own names: the next start salvages them again
	again      []*move      // done, but the next start must do them again
	writeSince time.Time    // since when a transaction of records is under way; zero without one
	alarmDue   time.Time    // when an alarm in the queue must be written; zero without one
	deadDue    time.Time    // when deletes must be written; zero without any
	lastAck    time.Time

	retryAt   time.Time // no write before then; zero when the last one succeeded
	retryWait time.Duration
	failures  int
	writeErr  error

	chainErr  error     // why the chain file was last not written; nil while it has all
	chainDue  time.Time // of the next attempt; zero when none is wanted
	chainWait time.Duration

	sealErr  error // why a file was last given up, after a write to it failed
	sealedAt time.Time
	sealWait time.Duration // until the next attempt; zero after the first in a while
}

const (
	maxItems      = 4096
	maxCursorData = 64 << 10
	maxCursors    = 1024
	deleteWait    = time.Second
)

// Epoch returns the current epoch.
func (b *Buffer) Epoch() Epoch {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.x.current().id
}

// Cursor returns what was last stored on disk under the name, or nil when there is
// nothing. An error wraps ErrCursorLost when there was something and it is not known
// any more: a source that began anew would be read twice.
func (b *Buffer) Cursor(name string) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	if b.detached != nil {
		return nil, fmt.Errorf("how far the source was read is on the disk, and will be read when that can be: %w: %w", ErrDetached, b.detached)
	}
	c, ok := b.cursors[name]
	if known := b.known[name]; !ok && known.lostWith != "" {
		return nil, fmt.Errorf("%w: it was in %s: put an undamaged copy of that file back while the agent is stopped, "+
			"or give the source another name to read it from its start, which stores again what was stored before",
			ErrCursorLost, known.lostWith)
	} else if !ok {
		return nil, nil
	}
	return append([]byte{}, c.Data...), nil
}

// WaitSpace blocks until an Append with a cursor is worth another try, or ctx is done. It returns
// ErrClosed after Close.
func (b *Buffer) WaitSpace(ctx context.Context) error {
	b.mu.Lock()
	space, full, closed := b.space, b.full, b.closed
	if !full && b.behind != nil {
		space, full = b.behind, true
	}
	b.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case !full:
		return ctx.Err()
	}
	select {
	case <-space:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Changed returns a channel of capacity 1 that receives after records became
// visible. It is never closed. It is meant for one receiver.
func (b *Buffer) Changed() <-chan struct{} { return b.changed }

// Chain returns the epochs, oldest first; the last is the current one. An ended
// epoch is listed while it holds or retains records, or has not been settled.
func (b *Buffer) Chain() []EpochState {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]EpochState, 0, len(b.x.epochs))
	for _, ep := range b.x.epochs {
		s := EpochState{Epoch: ep.id, Prev: ep.prev, Ended: ep.ended, Next: ep.next, Held: ep.held.Clone()}
		for _, e := range ep.hidden {
			s.Held.Add(e.key.Position, e.key.Position+1)
		}
		for _, f := range b.x.files {
			if h := f.holds[ep.id]; h != nil && !h.kept.Empty() {
				s.Retained.AddSet(h.kept)
			}
		}
		for _, m := range b.moves {
			if m.to == ep.id {
				s.Held.Add(0, m.set.Len())
			}
		}
		out = append(out, s)
	}
	return out
}

// Settle says that the collector has been told how these epochs ended (the sync
// that answered a birth with them is complete), so that those that hold nothing
// need not be listed again. The current epoch and unknown ones are passed over.
func (b *Buffer) Settle(epochs []Epoch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range epochs {
		if ep := b.x.byID[id]; ep != nil && ep != b.x.current() {
			ep.settled = true
		}
	}
	b.wake()
}

// forgettable takes settled epochs of which nothing is left out of the chain and
// returns their places in the chain file.
func (b *Buffer) forgettable() []uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var seqs []uint64
	b.x.epochs = slices.DeleteFunc(b.x.epochs, func(ep *epoch) bool {
		keep := ep.ended == EndOpen || !ep.settled || ep.kept > 0 || !ep.held.Empty() || len(ep.hidden) > 0 || len(ep.mem) > 0 ||
			slices.ContainsFunc(slices.Concat(b.moves, b.again), func(m *move) bool { return m.from == ep.id || m.to == ep.id })
		if !keep {
			if ep.seq != 0 {
				seqs = append(seqs, ep.seq)
			}
			delete(b.x.byID, ep.id)
		}
		return !keep
	})
	return seqs
}

// wake makes the flusher look again.
func (b *Buffer) wake() {
	select {
	case b.kick <- struct{}{}:
	default:
	}
}

func (b *Buffer) signalChanged() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// step is called before each step that reaches the disk.
func (b *Buffer) step(name string) error {
	if b.o.step == nil {
		return nil
	}
	return b.o.step(name)
}

func (b *Buffer) path(name string) string { return filepath.Join(b.o.Dir, name) }

// retained is positions that were acknowledged at about one time.
type retained struct {
	at    time.Time
	epoch Epoch
	set   ranges.Set
}
