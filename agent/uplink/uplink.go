package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"andon.internal/agent/buffer"
	"andon.internal/agent/roster"
	"andon.internal/agent/uplink/internal/flight"
	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// Buffer is what the uplink needs of the buffer: see agent/buffer.
type Buffer interface {
	Next(l buffer.Lane, after *buffer.Key) (buffer.Stored, bool, error)
	Get(k buffer.Key) (buffer.Stored, bool, error)
	Before(t time.Time) (buffer.Key, bool)
	Changed() <-chan struct{}
	Ack(e buffer.Epoch, s ranges.Set) error
	Requeue(e buffer.Epoch, s ranges.Set) uint64
	Gone(e buffer.Epoch, lacks ranges.Set) uint64
	Chain() []buffer.EpochState
	Settle(epochs []buffer.Epoch)
	NewEpoch(sent ranges.Set) error
	Moving() bool
	Moved() uint64
	Stats() buffer.Stats
}

// Units tells who is on test: see agent/roster.
type Units interface {
	Active() []roster.Unit
	Profile(fingerprint uint64) *telemetry.Profile
	Changed() <-chan struct{}
}

// Sessions counts connections; no number comes twice, also after a crash: see agent/state.
type Sessions interface {
	Next(counter string) (uint64, error)
}

// counter is the name of the session counter.
const counter = "mqtt-session"

// Uplink connects one buffer to one broker. See the package comment.
type Uplink struct {
	cfg      Config
	url      *url.URL
	log      *slog.Logger
	buf      Buffer
	units    Units
	sessions Sessions

	// What outlives a session; used by Run's goroutine only.
	table *flight.Table
	sent  map[buffer.Epoch]*ranges.Set // every position that this process has sent
	front *buffer.Key                  // up to here the current epoch has gone through the live lane
	hosts map[string]hostState
	tries int // attempts since the last healthy session
	pace  pace

	mu     sync.Mutex
	status Status
}

// New returns an uplink that does nothing until Run. It belongs to one opened buffer:
// it must know everything that was sent since that was opened. It returns an error when the
// configuration has a fault.
func New(cfg Config, b Buffer, u Units, s Sessions) (*Uplink, error) {
	cfg = cfg.withDefaults()
	address, err := cfg.check()
	if err != nil {
		return nil, fmt.Errorf("configure uplink: %w", err)
	}
	return &Uplink{
		cfg: cfg, url: address, log: cfg.Logger, buf: b, units: u, sessions: s,
		table: flight.New(cfg.flight()),
		sent:  make(map[buffer.Epoch]*ranges.Set),
		hosts: make(map[string]hostState),
		pace:  pace{rate: cfg.MaxRate},
	}, nil
}

// Run connects, and connects again, until ctx ends. Then it gives what is in flight
// a last chance, says farewell and returns nil, all within Config.StopRound and
// Config.Farewell and a second more, also when the network hangs. It may be called
// again once it has returned.
func (u *Uplink) Run(ctx context.Context) error {
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(u.cfg.RetryMin),
		backoff.WithMaxInterval(u.cfg.RetryMax),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.5),
		backoff.WithMaxElapsedTime(0),
	)
	for ctx.Err() == nil {
		healthy, err := u.connect(ctx)
		if ctx.Err() != nil {
			break
		}
		if healthy {
			pause.Reset()
			u.tries = 0
		}
		if u.tries++; u.tries == 1 || u.tries%100 == 0 {
			u.log.Warn("no link to the collector; trying again", "broker", u.url.Host, "error", err, "attempts", u.tries)
		}
		u.setLink(err)
		sleep(ctx, pause.NextBackOff())
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// errStopped ends a session in order: ctx was cancelled.
var errStopped = errors.New("stopped")
