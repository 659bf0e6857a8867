package chaos

import (
	"bytes"
	"context"
	"io"
	"time"

	"andon.internal/lab/checker"
)

// Plan is plan, for tests.
var Plan = plan

// Things are what a strike needs for itself.
func (s *Strike) Things() []string { return s.Fault.needs(s.Target) }

// PlanCuts is planCuts, for tests.
var PlanCuts = planCuts

// Gap is how long after a start a cut is due.
func (c *cut) Gap() time.Duration { return c.gap }

// Dark is how long the machine stays off.
func (c *cut) Dark() time.Duration { return c.dark }

// AtWrite reports whether the cut waits for a write.
func (c *cut) AtWrite() bool { return c.write > 0 }

// Watch is watch, for tests.
var Watch = watch

// Close is close, for tests.
func (w *watcher) Close() { w.close() }

// Await is await, for tests.
func (w *watcher) Await(ctx context.Context, n int, limit time.Duration) (bool, error) {
	return w.await(ctx, n, limit)
}

// Spoil is spoil, for tests.
var Spoil = spoil

// WriteSettings says how the buffer of each cell writes with these options, "retain" where it
// keeps what was acknowledged, and so writes ahead.
func WriteSettings(o Options) (file, dynos string, err error) {
	o.Out = io.Discard
	faults, err := choose(&o)
	if err != nil {
		return "", "", err
	}
	o.losing = loses(faults)
	of := func(cell string) string {
		if b := o.buffer(cell); b.Retain == 0 {
			return b.Write
		}
		return "retain"
	}
	return of(fileCell), of(dynoCell), nil
}

// Excused is a rig whose database was put back and whose clones ran at some moments, for tests
// of what it believes then.
type Excused struct{ r *rig }

// NewExcused is of a cell of dynos that does not retain.
func NewExcused(exported []byte, restored, cloned time.Time) (*Excused, error) {
	r := &rig{journal: newJournal(dynoProfile()), excused: map[string]bool{"database": true, "crash": true}, restored: restored, cloned: cloned}
	return &Excused{r}, r.journal.read(bytes.NewReader(exported))
}

// MayLose is mayLose.
func (e *Excused) MayLose(reason string, at checker.Place) bool { return e.r.mayLose(reason, at) }

// Moved is moved.
func (e *Excused) Moved(at checker.Place) bool { return e.r.moved(at) }

// Declared exports lines of a cell that crashes when they were seen some time ago, and says how
// many readings are declared safe then.
func Declared(exported []byte, ago, longest time.Duration) (int, error) {
	j := newJournal(dynoProfile())
	if err := j.read(bytes.NewReader(exported)); err != nil {
		return 0, err
	}
	for at, n := range j.seen {
		n.at = n.at.Add(-ago)
		j.seen[at] = n
	}
	j.crashed(longest)
	return len(j.declared(time.Now().UnixMicro())), nil
}

// Caught is caught, for tests.
func (c *CutControl) Caught(r *Round) bool { return c.caught(r) }
