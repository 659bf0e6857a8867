package clock

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Trusted is the time by which certificates are judged: the latest of the system's, the
// last that was known to be good, and that of the build. The last good time runs on while
// the machine does. So a machine without a clock does not fall back to 1970 and believe
// what has expired since, and renews its certificate in time.
//
// It learns only what others vouch for, so that a clock that was ahead for a while leaves
// no trace: what the authority has signed ([Trusted.Signed]), and what the system's clock
// and another one agree on ([Trusted.Confirm]). It believes neither beyond the end of our
// own certificate, so that whatever went wrong ends with the next one. Safe for concurrent
// use.
type Trusted struct {
	memory  Memory
	system  func() time.Time
	elapsed func() time.Duration
	built   time.Time
	log     *slog.Logger

	mu     sync.Mutex
	last   time.Time     // known to have passed
	lastAt time.Duration // elapsed when that was learnt
	saved  time.Time     // what the memory has of it
	end    time.Time     // of our own certificate; zero while there is none
}

// Memory keeps the last good time: see agent/state.
type Memory interface {
	Get(bucket, key string) ([]byte, error)
	Put(bucket, key string, value []byte) error
}

// TrustedOptions are the settings of a [Trusted].
type TrustedOptions struct {
	System  func() time.Time     // default: time.Now
	Elapsed func() time.Duration // since some moment; nobody sets it. Default: since boot
	Built   time.Time            // when the build's sources were committed; zero: unknown
	Logger  *slog.Logger         // default: none
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
	t := &Trusted{memory: m, system: o.System, elapsed: o.Elapsed, built: o.Built, log: o.Logger}
	if t.system == nil {
		t.system = time.Now
	}
	if t.elapsed == nil {
		t.elapsed = sinceBoot()
	}
	if t.log == nil {
		t.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	b, err := m.Get(bucket, key)
	if err != nil {
		return nil, fmt.Errorf("read the last good time: %w", err)
	}
	last, end, _ := strings.Cut(string(b), " ")
	if at, err := time.Parse(time.RFC3339, last); err == nil {
		t.last, t.lastAt, t.saved = at, t.elapsed(), at
		t.end, _ = time.Parse(time.RFC3339, end) // zero where there was no certificate
	}
	return t, nil
}

// sinceBoot returns a clock that runs on in suspend, where the machine has one.
func sinceBoot() func() time.Duration {
	if Now().Boot != 0 {
		return func() time.Duration { return time.Duration(Now().Boot) }
	}
	begin := time.Now()
	return func() time.Duration { return time.Since(begin) }
}

// Now is the time by which certificates are judged.
func (t *Trusted) Now() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.system()
	for _, at := range []time.Time{t.lastLocked(), t.built} {
		if now.Before(at) {
			now = at
		}
	}
	return now
}

// lastLocked is the last good time and how long it is ago; zero where there is none.
func (t *Trusted) lastLocked() time.Time {
	if t.last.IsZero() {
		return t.last
	}
	return t.last.Add(t.elapsed() - t.lastAt)
}

// Own says from when and until when our own certificate is good. The authority signed
// that it begins. A last good time beyond the end of another certificate than before was
// none, and is forgotten; beyond the end of the same one it is expired.
func (t *Trusted) Own(from, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last := t.lastLocked(); !until.Equal(t.end) && last.After(until) {
		t.log.Warn("the last good time is beyond the end of our certificate, and forgotten", "last_good", last, "expires", until)
		t.last, t.saved = time.Time{}, time.Time{}
	}
	t.end = until
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
	if at.After(t.lastLocked()) && (t.end.IsZero() || !at.After(t.end)) {
		t.last, t.lastAt = at, t.elapsed()
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
	at, end := t.lastLocked().Truncate(time.Second), t.end
	due := at.Sub(t.saved) >= saveEvery
	t.mu.Unlock()
	if !due {
		return nil
	}
	text := at.UTC().Format(time.RFC3339) + " " + end.UTC().Format(time.RFC3339)
	if err := t.memory.Put(bucket, key, []byte(text)); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.saved = at
	return nil
}
