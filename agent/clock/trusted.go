package clock

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Trusted is the time by which certificates are judged: the latest of the system's, the
// last that was known to be good, and that of the build. A machine without a clock thus
// does not fall back to 1970, and believe what has expired since.
//
// It learns only what others vouch for, so that a clock that was ahead for a while leaves
// no trace: what the authority has signed ([Trusted.Signed]), and what the system's clock
// and another one agree on ([Trusted.Confirm]). It believes neither beyond the end of our
// own certificate, so that whatever went wrong ends with the next one. Safe for concurrent
// use.
type Trusted struct {
	memory Memory
	system func() time.Time
	built  time.Time
	log    *slog.Logger

	mu    sync.Mutex
	last  time.Time // known to have passed
	saved time.Time // what the memory has of it
	end   time.Time // of our own certificate; zero while there is none
}

// Memory keeps the last good time: see agent/state.
type Memory interface {
	Get(bucket, key string) ([]byte, error)
	Put(bucket, key string, value []byte) error
}

// TrustedOptions are the settings of a [Trusted].
type TrustedOptions struct {
	System func() time.Time // default: time.Now
	Built  time.Time        // when the build's sources were committed; zero: unknown
	Logger *slog.Logger     // default: none
}

const (
	bucket = "clock"
	key    = "last-good"
	// saveEvery is how much the last good time may be ahead of what is kept: flash wears.
	saveEvery = 6 * time.Hour
	// lookEvery is how often it is looked whether it is.
	lookEvery = time.Minute
)

// OpenTrusted reads the last good time. What cannot be read as one counts as none.
func OpenTrusted(m Memory, o TrustedOptions) (*Trusted, error) {
	t := &Trusted{memory: m, system: o.System, built: o.Built, log: o.Logger}
	if t.system == nil {
		t.system = time.Now
	}
	if t.log == nil {
		t.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	b, err := m.Get(bucket, key)
	if err != nil {
		return nil, fmt.Errorf("read the last good time: %w", err)
	}
	if at, err := time.Parse(time.RFC3339, string(b)); err == nil {
		t.last, t.saved = at, at
	}
	return t, nil
}

// Now is the time by which certificates are judged.
func (t *Trusted) Now() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.system()
	for _, at := range []time.Time{t.last, t.built} {
		if now.Before(at) {
			now = at
		}
	}
	return now
}

// Own says from when and until when our own certificate is good. The authority signed
// that it begins. A last good time beyond its end was none, or is of no use any more: it
// is forgotten.
func (t *Trusted) Own(from, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = until
	if t.last.After(until) {
		t.log.Warn("the last good time is beyond the end of our certificate, and forgotten", "last_good", t.last, "expires", until)
		t.last, t.saved = time.Time{}, time.Time{}
	}
	t.learnLocked(from)
}

// Signed says that the authority has signed that a time has passed.
func (t *Trusted) Signed(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.learnLocked(at)
}

// Confirm says what time it is by the clock of somebody who is trusted. The earlier one
// of that and the system's has passed by both.
func (t *Trusted) Confirm(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := t.system(); now.Before(at) {
		at = now
	}
	t.learnLocked(at)
}

func (t *Trusted) learnLocked(at time.Time) {
	if at.After(t.last) && (t.end.IsZero() || !at.After(t.end)) {
		t.last = at
	}
}

// Run keeps the last good time, now and then, until ctx ends.
func (t *Trusted) Run(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for failing := false; ; {
		err := t.save()
		if err != nil && !failing {
			t.log.Error("the last good time is not kept; trying again", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
	}
}

// save keeps the last good time where it is far enough ahead of what is kept.
func (t *Trusted) save() error {
	t.mu.Lock()
	at := t.last.Truncate(time.Second)
	due := at.Sub(t.saved) >= saveEvery
	t.mu.Unlock()
	if !due {
		return nil
	}
	if err := t.memory.Put(bucket, key, []byte(at.UTC().Format(time.RFC3339))); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.saved = at
	return nil
}
