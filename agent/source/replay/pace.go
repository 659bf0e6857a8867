package replay

import (
	"context"
	"math"
	"time"
)

// pace says when a reading is due. It looks at the wall clock only when the source is
// opened; from then on it follows the monotonic clock, so that setting the clock
// neither stops nor floods a replay.
type pace struct {
	speed   float64 // 0: everything is due
	origin  int64   // unix ns of a reading that is due when nothing has passed
	elapsed time.Duration
	since   time.Time // when elapsed had passed; holds the monotonic clock
}

// startPace goes on with the schedule of the position. What became due since the
// last Open is due at once.
func (s *Source) startPace(now time.Time) {
	s.pace = pace{speed: s.cfg.Speed, origin: s.at.Start, since: time.Now()}
	if s.cfg.Speed == 0 {
		s.at.Speed = 0
		return
	}
	least := time.Duration(0)
	if s.latest != 0 {
		least = s.pace.due(s.latest)
	}
	if s.at.Speed != s.cfg.Speed {
		// The schedule was another one: this one begins with the lines that are done.
		s.at.Wall, s.at.Speed = now.UnixNano()-int64(least), s.cfg.Speed
	}
	// A wall clock that went back must not stop the replay.
	s.pace.elapsed = max(time.Duration(now.UnixNano()-s.at.Wall), least)
}

// due returns how long after the beginning a reading of time t is due.
func (p *pace) due(t int64) time.Duration {
	return time.Duration(min(float64(t-p.origin)/p.speed, math.MaxInt64/2))
}

// now returns how much time has passed since the beginning.
func (p *pace) now() time.Duration {
	if p.speed == 0 {
		return 0
	}
	return p.elapsed + time.Since(p.since)
}

// late returns how long ago a reading of time t was due; below 0 it is not due yet.
func (p *pace) late(t int64, now time.Duration) time.Duration {
	if p.speed == 0 {
		return 0
	}
	return now - p.due(t)
}

// wait blocks until a reading of time t is due.
func (p *pace) wait(ctx context.Context, t int64) error {
	if p.speed == 0 {
		return nil
	}
	rest := p.due(t) - p.now()
	if rest <= 0 {
		return nil
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
