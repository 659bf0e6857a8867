package intake

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"andon.internal/shared/sparkplug"
)

// When the database counts as away: what is to be done there failed twice, or is not
// done after a time in which a sound database has done it.
const (
	failuresToDown = 2
	stuckAfter     = 5 * time.Second
)

// database is what is known of the database's state from the attempts at it. Each
// writer and the keeper of the lease have their own, because one may succeed where the
// other cannot: on a full disk, or with a table locked, a lease is renewed all the same.
// Its methods, and those of its attempts, are safe for concurrent use.
type database struct {
	log *slog.Logger

	mu      sync.Mutex
	all     []*attempts
	reached bool // ever
	// What the log says of it once: failures since the first of those that are not
	// mended.
	failures int
	since    time.Time
}

// attempts are those of one who makes them one behind the other, at one thing until it
// is done or given up.
type attempts struct {
	db       *database
	began    time.Time // the first at what is not done; zero: there is nothing to do
	failures int       // at that
	err      error     // the last of them
	latest   time.Time // when the latest attempt began
	took     time.Time // and the latest by which readings were committed
}

func newDatabase(log *slog.Logger) *database { return &database{log: log} }

// attempts returns new ones, of one writer or the keeper.
func (d *database) attempts() *attempts {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := &attempts{db: d}
	d.all = append(d.all, a)
	return a
}

// begin notes an attempt. It is followed by end, but for one that is cut off as the lease is
// lost, which is given up, or by a stop: it is not known to have succeeded.
func (a *attempts) begin(now time.Time) {
	a.db.mu.Lock()
	defer a.db.mu.Unlock()
	a.latest = now
	if a.began.IsZero() {
		a.began = now
	}
}

// end notes what became of an attempt. Behind a failure the next one is at the same
// thing. What is refused is done with, whether the database refuses it or who speaks to it.
func (a *attempts) end(now time.Time, err error) {
	d := a.db
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil || errors.Is(err, ErrLeaseLost) || errors.Is(err, ErrRefused) {
		d.reached = true
		if n := d.failures; a.doneLocked() {
			d.log.Info("database takes data again", "failed_attempts", n, "away", now.Sub(d.since).Round(time.Millisecond))
		}
		return
	}
	a.failures++
	a.err = err
	if d.failures == 0 {
		d.since = now
	}
	if d.failures++; d.failures&(d.failures-1) == 0 {
		d.log.Warn("database does not take data", "error", err, "attempts", d.failures)
	}
}

// committed says that by the latest attempt readings were committed.
func (a *attempts) committed() {
	a.db.mu.Lock()
	defer a.db.mu.Unlock()
	a.took = a.latest
}

// giveUp ends what is not done, of all: it is another collector's to do.
func (d *database) giveUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.all {
		a.doneLocked()
	}
}

// doneLocked reports whether it ended the last failures that there were.
func (a *attempts) doneLocked() bool {
	a.began, a.failures, a.err = time.Time{}, 0, nil
	for _, other := range a.db.all {
		if other.failures > 0 {
			return false
		}
	}
	mended := a.db.failures > 0
	a.db.failures = 0
	return mended
}

// troubleLocked returns nil, or why what is to be done counts as not to be done now.
func (a *attempts) troubleLocked(now time.Time) error {
	if a.began.IsZero() || a.failures < failuresToDown && now.Sub(a.began) < stuckAfter {
		return nil
	}
	if a.err != nil {
		return a.err
	}
	return fmt.Errorf("an attempt has been under way for %v", now.Sub(a.began).Round(time.Second))
}

// down returns nil, or why the database counts as away for who makes these attempts. The
// trouble of another is theirs too, until they commit readings behind it: so who has
// none to commit hears of it, and who commits is not held up.
func (a *attempts) down(now time.Time) error {
	d := a.db
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.reached {
		err := errors.New("has not been reached yet")
		for _, other := range d.all {
			err = errors.Join(err, other.err)
		}
		return err
	}
	for _, other := range d.all {
		if err := other.troubleLocked(now); err != nil && !a.took.After(other.began) {
			return err
		}
	}
	return nil
}

// state is [attempts.down] as the cells are told.
func (a *attempts) state(now time.Time) sparkplug.DBState {
	if a.down(now) != nil {
		return sparkplug.DBDown
	}
	return sparkplug.DBOK
}
