package broker

import (
	"context"
	"log/slog"
	"time"

	"andon.internal/shared/ops"
)

// watch looks at the connections once a second: it tells of readers that lose
// messages, ends connections whose certificate is no longer good, and beats the pulse
// that /healthz asks for.
func (b *Broker) watch(ctx context.Context, l *listener, pulse *ops.Pulse) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			l.each(func(c *conn) {
				c.losses.look(c, now, b.log)
				l.expel(c)
			})
			pulse.Beat()
		}
	}
}

// losses is what the log knows of one reader's lost messages.
type losses struct {
	seen     uint64 // lost messages, at the last look
	told     uint64 // in the log
	toldAt   time.Time
	lastSeen time.Time // when a look last found new ones
	losing   bool
}

// look tells of new losses at once and then every 10 s, and once when there were
// none for 10 s.
func (s *losses) look(c *conn, now time.Time, log *slog.Logger) {
	n := c.queue.dropped.Load()
	if n > s.seen {
		s.seen, s.lastSeen = n, now
	}
	name := ""
	if cl := c.client.Load(); cl != nil {
		name = clip(cl.ID)
	}
	switch {
	case n > s.told && now.Sub(s.toldAt) >= repeatAfter:
		log.Warn("a slow reader loses messages",
			"client", name, "remote", c.RemoteAddr().String(), "lost", n-s.told, "lost_in_all", n)
		s.told, s.toldAt, s.losing = n, now, true
	case s.losing && n == s.told && now.Sub(s.lastSeen) >= repeatAfter:
		log.Info("a slow reader has caught up", "client", name, "remote", c.RemoteAddr().String(), "lost_in_all", n)
		s.losing = false
	}
}
