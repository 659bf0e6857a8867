package uplink

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"andon.internal/agent/roster"
	"andon.internal/agent/uplink/internal/births"
	"andon.internal/agent/uplink/internal/link"
	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
)

// session is one connection, from CONNECT to its end. All of it belongs to the
// goroutine of Run; the network is behind link, which never blocks it.
type session struct {
	up     *Uplink
	log    *slog.Logger
	link   *link.Link
	number uint64
	bdSeq  uint8

	packet *link.Packet // to be filled next; nil while all are on their way
	seq    uint8        // of the next message

	// Births: see announce.go.
	born      bool
	birthAt   time.Time // when the node is to be born (again); zero: not at all
	bornAt    time.Time // when it last was
	reg       *births.Registry
	active    map[string]roster.Unit // as of the last look at the roster
	announce  []string               // units on test that are still to be born
	dying     []births.Run           // runs that die once nothing of them is in flight
	heartbeat time.Time              // when the next one is due

	// What the collector said: see receive.go and sync.go.
	heard      time.Time // since when it is silent: the first birth, then the last acknowledgement
	acked      time.Time // when that came, of the intake: others ask for births too; zero before the first
	okAt       time.Time // when it last said that the database is there
	doubtUntil time.Time // until then the word that it is away does not count beside that
	hostsGone  time.Time // since when no host is online, see host.go; zero: one is, or none is known
	hostBack   time.Time // when one last came back

	hold       bool // nothing is acknowledged, see hold.go
	holdSilent bool // because the collector says nothing
	holdSince  time.Time
	holdWhy    string
	sync       syncState

	lanes lanes

	stopBy   time.Time // set at a clean stop
	pause    time.Time // the buffer failed: not read before this
	reported time.Time
	reportAt time.Time // when the figures are brought up to date; zero when they are
	ignored  uint64    // messages found the inbox full, as last counted
	// reportedState is what was true at the last report.
	reportedState [4]bool
	idleBeats     int // heartbeats with something held and nothing to do
}

// Ends of a session beside a lost connection.
var (
	errSilent    = errors.New("nothing heard from the collector")
	errHostGone  = errors.New("primary host is offline")
	errNoNewFork = errors.New("the database knows positions that were never sent, and no new epoch could be begun")
)

// connect runs one session and returns why it ended, and whether it was a good one: the
// collector was heard, and nothing is wrong here that the next session would meet as well.
func (u *Uplink) connect(ctx context.Context) (healthy bool, err error) {
	number, err := u.sessions.Next(counter)
	if err != nil {
		return false, fmt.Errorf("count session: %w", err)
	}
	s := &session{
		up: u, log: u.log.With("session", number), number: number, reg: births.New(),
		bdSeq: uint8((number - 1) % 256), // the standard wants it to begin at 0
	}
	if s.link, err = link.Dial(ctx, s.linkOptions()); err != nil {
		u.cfg.Metrics.connectFailures.Inc()
		return false, err
	}
	u.cfg.Metrics.sessions.Inc()
	u.table.Begin()
	if u.cfg.PrimaryHost == "" {
		s.birthAt = time.Now()
	}
	err = s.run(ctx)
	s.end(err)
	return !s.acked.IsZero() && !errors.Is(err, errNoNewFork), err
}

func (s *session) linkOptions() link.Options {
	cfg := &s.up.cfg
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	node := sparkplug.Topic{Group: cfg.Node.Group, Node: cfg.Node.ID, Device: "+"}
	topic := func(t sparkplug.MessageType) string {
		node.Type = t
		return node.String()
	}
	o := link.Options{
		URL: s.up.url, TLS: cfg.TLS,
		// A new id each time: a broker may take long to give up a stuck one.
		ClientID:    fmt.Sprintf("%s%x", sparkplug.ClientPrefix(cfg.Node.Group, cfg.Node.ID), random),
		WillTopic:   topic(sparkplug.NDeath),
		WillPayload: sparkplug.AppendNodeDeath(nil, s.up.stamp(), s.bdSeq),
		Subscribe:   []string{topic(sparkplug.NCmd), topic(sparkplug.DCmd)},
		KeepAlive:   cfg.KeepAlive, PingTimeout: cfg.PingTimeout,
		ConnectTimeout: cfg.ConnectTimeout, WriteTimeout: cfg.WriteTimeout,
		Inbox: 256,
	}
	host := cmp.Or(cfg.PrimaryHost, "+")
	o.Subscribe = append(o.Subscribe, sparkplug.Topic{Type: sparkplug.HostState, Host: host}.String())
	return o
}

// run is the session's loop. It returns errStopped, the reason why the session is
// to end, or why the connection was lost.
func (s *session) run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	done := ctx.Done()
	for {
		now := time.Now()
		if err := s.tick(now); err != nil {
			return err
		}
		s.pump(now)
		s.report(now, false)
		if s.stopped(now) {
			return errStopped
		}
		timer.Reset(s.wake(now).Sub(now))
		free := s.link.Free()
		if s.packet != nil {
			free = nil
		}
		var err error
		select {
		case m := <-s.link.Inbox():
			err = s.receive(time.Now(), m)
		case <-s.link.Lost():
			err = s.link.Err()
		case s.packet = <-free:
		case <-s.link.Written():
		case <-s.up.buf.Changed():
		case <-s.up.units.Changed():
			s.lookAtUnits()
		case <-timer.C:
		case <-done:
			done = nil
			s.stopBy = time.Now().Add(s.up.cfg.StopRound)
		}
		if err != nil {
			return err
		}
	}
}

// tick does what is a matter of time.
func (s *session) tick(now time.Time) error {
	if !s.born {
		return nil
	}
	if at := s.silentAt(); !at.IsZero() && !now.Before(at) {
		s.up.cfg.Metrics.watchdog.Inc()
		return errSilent
	}
	s.watchHold(now)
	if !s.hold {
		s.reportParked(s.up.table.Expire(now))
		s.expireSync(now)
	}
	return nil
}

// pump sends for as long as there is something to send and a packet free for it.
func (s *session) pump(now time.Time) {
	for {
		if s.packet == nil {
			select {
			case s.packet = <-s.link.Free():
			default:
				return
			}
		}
		p := s.packet
		var ok bool
		if p.Topic, p.Payload, ok = s.next(now, p.Payload[:0]); !ok {
			return
		}
		s.up.cfg.Metrics.bytes.Add(float64(len(p.Payload)))
		s.up.pace.spend(now, len(p.Topic), len(p.Payload))
		s.packet = nil
		s.link.Send(p)
	}
}

// stopped reports whether a clean stop has waited long enough: for fresh records to go
// out, and for acknowledgements.
func (s *session) stopped(now time.Time) bool {
	if s.stopBy.IsZero() {
		return false
	}
	if !now.Before(s.stopBy) || !s.born {
		return true
	}
	if s.hold {
		return s.lanes.live == nil
	}
	return s.up.table.Stats().Records == 0 && !s.freshLeft(now)
}

// wake returns when there is something to do without an event. What is due already
// waits for a packet or an acknowledgement, which are events.
func (s *session) wake(now time.Time) time.Time {
	at := now.Add(time.Minute)
	for _, t := range [...]time.Time{
		s.birthAt, s.heartbeat, s.stopBy, s.pause, s.sync.by, s.reportAt, s.lanes.liveFrom, s.lanes.holdUntil, s.lanes.backlogFrom, s.lanes.rescanAt,
		s.up.table.Deadline(now), s.silentAt(), s.quietAt(), s.up.pace.from,
	} {
		if t.After(now) && t.Before(at) {
			at = t
		}
	}
	return at
}

func (s *session) silentAt() time.Time {
	if !s.born || s.abandoned() {
		return time.Time{}
	}
	from := s.heard
	if s.hostBack.After(from) {
		from = s.hostBack
	}
	return from.Add(s.up.cfg.Silence)
}

// end closes the connection in the way that fits why the session ended.
func (s *session) end(why error) {
	u := s.up
	broken := false
	switch {
	case errors.Is(why, errStopped) || errors.Is(why, errHostGone):
		topic := s.nodeTopic(sparkplug.NDeath)
		s.link.Close(topic, sparkplug.AppendNodeDeath(nil, s.up.stamp(), s.bdSeq), u.cfg.Farewell)
		u.cfg.Metrics.messages.WithLabelValues("NDEATH").Inc()
	case errors.Is(why, errSilent) || errors.Is(why, errNoNewFork):
		s.link.Drop()
	default:
		broken = true
		s.link.Drop()
	}
	s.born = false
	s.reportParked(u.table.End(time.Now(), broken))
	s.report(time.Now(), true)
	u.setLink(why)
	s.log.Info("session ended", "cause", why)
}

func (s *session) nodeTopic(t sparkplug.MessageType) string {
	return sparkplug.Topic{Type: t, Group: s.up.cfg.Node.Group, Node: s.up.cfg.Node.ID}.String()
}

func (s *session) unitTopic(t sparkplug.MessageType, unit string) string {
	return sparkplug.Topic{Type: t, Group: s.up.cfg.Node.Group, Node: s.up.cfg.Node.ID, Device: unit}.String()
}

// stamp is the cell's wall clock as Sparkplug has it: ms since 1970.
func (u *Uplink) stamp() uint64 { return uint64(max(u.cfg.Clock().Wall/1e6, 0)) }

// sentOf returns the positions of an epoch that this process has sent.
func (u *Uplink) sentOf(epoch [16]byte) *ranges.Set {
	s := u.sent[epoch]
	if s == nil {
		s = &ranges.Set{}
		u.sent[epoch] = s
	}
	return s
}
