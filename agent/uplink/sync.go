package uplink

import (
	"slices"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// maxSyncTimeout is what the wait for the answer to a birth backs off to.
const maxSyncTimeout = time.Minute

// syncState is the collector's answer to a birth, as far as it has come.
type syncState struct {
	done    bool
	by      time.Time     // when the node is born again if the answer is not complete; zero: not at all
	timeout time.Duration // how long the last birth waited

	// As the birth told it:
	current telemetry.Epoch
	prev    buffer.Epoch // the one before it
	listed  []buffer.Epoch
	limits  map[telemetry.Epoch]uint64      // positions below were assigned, of ended epochs
	told    map[telemetry.Epoch]ranges.Set  // what the collector may lack: see toldOf
	of      int                             // parts of the answer
	parts   map[int]bool                    // those that have come
	has     map[telemetry.Epoch]*ranges.Set // what the collector has
}

// beginSync forgets an earlier answer and waits for the one to this birth, which lists
// chain; held is the whole of what the buffer has.
func (s *session) beginSync(now time.Time, chain, held []buffer.EpochState) {
	timeout := min(max(2*s.sync.timeout, s.up.cfg.SyncTimeout), maxSyncTimeout)
	if s.sync.done {
		timeout = s.up.cfg.SyncTimeout
	}
	s.sync = syncState{
		by: now.Add(timeout), timeout: timeout,
		limits: make(map[telemetry.Epoch]uint64, len(chain)),
		told:   make(map[telemetry.Epoch]ranges.Set, len(chain)),
		parts:  map[int]bool{}, has: map[telemetry.Epoch]*ranges.Set{},
	}
	for i := range chain {
		c := &chain[i]
		s.sync.listed = append(s.sync.listed, c.Epoch)
		s.sync.told[c.Epoch] = s.toldOf(c)
		if c.Ended == buffer.EndOpen {
			s.sync.current = c.Epoch
		} else {
			s.sync.limits[c.Epoch] = c.Next
		}
	}
	if n := len(held); n > 0 {
		s.sync.prev = held[n-1].Prev
	}
	for e := range s.up.sent {
		done := func(c buffer.EpochState) bool { return c.Epoch == e }
		if !slices.ContainsFunc(held, done) { // the buffer has done with it
			delete(s.up.sent, e)
		}
	}
}

// toldOf returns the positions of an epoch that may have been acknowledged before this birth,
// and that a database which was put back may lack: of the current epoch what was sent, of one
// that has ended all that it had. What this process sent of such a one is only what the one
// before had left. Held records among them are the lanes' business: the buffer passes over them.
func (s *session) toldOf(c *buffer.EpochState) ranges.Set {
	switch sent := s.up.sent[c.Epoch]; {
	case c.Ended != buffer.EndOpen:
		return allBelow(c.Next)
	case sent != nil:
		return sent.Clone()
	}
	return ranges.Set{}
}

// lookForOthers lets the node be born again when the buffer has found epochs before the
// current one, which the birth did not list: it had no disk then.
func (s *session) lookForOthers(now time.Time, chain []buffer.EpochState) {
	n := len(chain)
	if n == 0 || chain[n-1].Epoch != s.sync.current {
		return
	}
	unlisted := func(c buffer.EpochState) bool { _, ok := s.sync.limits[c.Epoch]; return !ok }
	if chain[n-1].Prev != s.sync.prev || n <= sparkplug.MaxChain && slices.ContainsFunc(chain[:n-1], unlisted) {
		s.askBirth(now)
	}
}

// expireSync lets the node be born again when the collector is there and has not
// answered: one of the two messages was lost.
func (s *session) expireSync(now time.Time) {
	if s.sync.done || s.sync.by.IsZero() || now.Before(s.sync.by) {
		return
	}
	if !s.heard.After(s.bornAt) {
		s.sync.by = now.Add(s.sync.timeout) // nobody there: the watchdog's business
		return
	}
	s.up.cfg.Metrics.syncTimeouts.Inc()
	s.sync.by = time.Time{}
	s.askBirth(now)
}

// syncPart takes one part of the answer. It returns an error when the session
// cannot go on.
func (s *session) syncPart(now time.Time, a *sparkplug.Ack) error {
	p := a.Sync
	if p.Session != s.number || s.sync.done {
		s.answered(answerUnasked)
		return nil
	}
	if s.sync.of != p.Of {
		s.sync.of = p.Of
		clear(s.sync.parts)
	}
	s.sync.parts[p.Part] = true
	if len(s.sync.parts) < p.Of {
		return nil
	}
	return s.finishSync(now)
}

// finishSync compares what the collector has with what this node has told it.
func (s *session) finishSync(now time.Time) error {
	s.up.cfg.Metrics.syncs.Inc()
	if has := s.sync.has[s.sync.current]; has != nil {
		unknown := has.Clone()
		unknown.RemoveSet(*s.up.sentOf(s.sync.current))
		if !unknown.Empty() {
			return s.fork(now, unknown)
		}
	}
	var again, gone uint64
	for epoch, told := range s.sync.told {
		lacks := told.Clone()
		if has := s.sync.has[epoch]; has != nil {
			lacks.RemoveSet(*has)
		}
		if !lacks.Empty() {
			again += s.up.buf.Requeue(epoch, lacks)
			gone += s.up.buf.Gone(epoch, lacks)
		}
	}
	if again > 0 {
		s.up.cfg.Metrics.requeued.Add(float64(again))
		s.log.Warn("the database lacks records that it had acknowledged; sending them again", "records", again)
	}
	if gone > 0 {
		s.log.Error("the database lacks records that it had acknowledged, and they are not here any more; telling them as lost", "records", gone)
	}
	s.up.buf.Settle(s.sync.listed)
	s.sync.done, s.sync.by, s.sync.timeout = true, time.Time{}, 0
	s.log.Info("collector has told what it has; sending the backlog", "records_held", s.up.buf.Stats().Records)
	return nil
}

// fork leaves an epoch in which somebody else has used positions: this machine was
// put back to an earlier state. Going on in it, the database would take fresh
// records for repeats.
func (s *session) fork(now time.Time, unknown ranges.Set) error {
	s.log.Error("the database knows positions that this agent has not sent: was this machine put back to an earlier state, or cloned? beginning a new epoch",
		"epoch", s.sync.current.String(), "positions", clip(unknown.String()))
	if err := s.up.buf.NewEpoch(s.up.sentOf(s.sync.current).Clone()); err != nil {
		s.log.Error("new epoch not begun", "error", err)
		return errNoNewFork
	}
	s.up.cfg.Metrics.newEpochs.Inc()
	s.up.front = nil
	s.lanes.live = nil
	s.lanes.rescan() // what was ready to be sent has a new name
	s.birthAt = now
	return nil
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}

// allBelow is the positions below n.
func allBelow(n uint64) ranges.Set { return ranges.Of(ranges.Range{From: 0, To: n}) }
