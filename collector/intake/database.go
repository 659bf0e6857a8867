package intake

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"andon.internal/shared/sparkplug"
)

// When the database counts as away: an attempt failed that followed another failed
// one, or one has been under way for long.
const (
	failuresToDown = 2
	stuckAfter     = 5 * time.Second
)

// database is what is known of the database's state from the attempts at it. Its
// methods are safe for concurrent use.
type database struct {
	log *slog.Logger

	mu       sync.Mutex
	failures int       // since the last success
	err      error     // the last failure
	since    time.Time // of the first of them
	underway map[int]time.Time
	id       int
	reached  bool // ever
}

func newDatabase(log *slog.Logger) *database {
	return &database{log: log, underway: map[int]time.Time{}}
}

// begin notes an attempt. The returned function must be called once, with what
// became of it.
func (d *database) begin(now time.Time) (end func(now time.Time, err error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.id++
	id := d.id
	d.underway[id] = now
	return func(now time.Time, err error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.underway, id)
		d.noteLocked(now, err)
	}
}

// noteLocked counts an attempt, and logs the first failure, each doubling, and the
// recovery.
func (d *database) noteLocked(now time.Time, err error) {
	if err == nil {
		if d.failures > 0 {
			d.log.Info("database takes data again", "failed_attempts", d.failures, "away", now.Sub(d.since).Round(time.Millisecond))
		}
		d.failures, d.err, d.reached = 0, nil, true
		return
	}
	if d.failures == 0 {
		d.since = now
	}
	d.failures++
	d.err = err
	if d.failures&(d.failures-1) == 0 {
		d.log.Warn("database does not take data", "error", err, "attempts", d.failures)
	}
}

// down returns nil, or why the database counts as away.
func (d *database) down(now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.failures >= failuresToDown:
		return d.err
	case !d.reached:
		return errors.Join(errors.New("has not been reached yet"), d.err)
	}
	for _, began := range d.underway {
		if took := now.Sub(began); took >= stuckAfter {
			return fmt.Errorf("an attempt has been under way for %v", took.Round(time.Second))
		}
	}
	return nil
}

// state is [database.down] as the cells are told.
func (d *database) state(now time.Time) sparkplug.DBState {
	if d.down(now) != nil {
		return sparkplug.DBDown
	}
	return sparkplug.DBOK
}
