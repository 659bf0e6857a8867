package uplink_test

import (
	"slices"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// has waits for a message.
func (c *collector) has(what string, match func(*seen) bool) *seen {
	c.t.Helper()
	var found *seen
	eventually(c.t, what, func() bool {
		found = c.find(match)
		return found != nil
	})
	return found
}

func (c *collector) find(match func(*seen) bool) *seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.log {
		if match(s) {
			return s
		}
	}
	return nil
}

func (c *collector) all(match func(*seen) bool) []*seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []*seen
	for _, s := range c.log {
		if match(s) {
			list = append(list, s)
		}
	}
	return list
}

func (c *collector) count(match func(*seen) bool) int { return len(c.all(match)) }

// forget empties the log.
func (c *collector) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = nil
}

func (c *collector) rows() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, r := range c.stored {
		n += r.Len()
	}
	return n
}

// knows reports whether the readings of a record are stored, under whatever name.
func (c *collector) knows(r *telemetry.Record) bool {
	for _, have := range c.stored {
		if have.Unit == r.Unit && slices.Equal(have.Times, r.Times) && slices.Equal(have.Values, r.Values) {
			return true
		}
	}
	return false
}

// pauseAfter lets it say nothing of what is committed behind n more records, until noAck is set anew.
func (c *collector) pauseAfter(n int) {
	c.set(func(p *policy) {
		p.lose = func(*seen) bool {
			if n--; n <= 0 {
				c.policy.noAck, c.policy.lose = true, nil
			}
			return false
		}
	})
}

func (c *collector) paused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.policy.noAck
}

// maximum returns how many records were in flight at most since the last set.
func (c *collector) maximum() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.maxFlight
}

// putBack lets the database be a copy of before, which lacks these positions.
func (c *collector) putBack(e telemetry.Epoch, from, to uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ledger[e].Remove(from, to)
	for k := range c.stored {
		if k.epoch == e && k.position >= from && k.position < to {
			delete(c.stored, k)
		}
	}
}

// repeated returns how many records came that had been committed already.
func (c *collector) repeated() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.repeats
}

func isBirth(s *seen) bool  { return s.birth != nil }
func isRecord(s *seen) bool { return s.record != nil }
func isGone(s *seen) bool   { return s.loss != nil && s.loss.Reason == telemetry.LossDatabase }
func isKind(k sparkplug.MessageType) func(*seen) bool {
	return func(s *seen) bool { return s.kind == k }
}

// bdSeqOf returns the bdSeq that belongs to a session.
func bdSeqOf(session uint64) uint8 { return uint8((session - 1) % 256) }
