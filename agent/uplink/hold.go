package uplink

import (
	"time"

	"andon.internal/shared/sparkplug"
)

// A hold is a time in which nothing is acknowledged, and that is known: the database is
// away, or the collector. Each live record is still sent once, for those who look at live
// traffic beside the intake (alarms, pages), and nothing is repeated. When it ends,
// everything held is sent again.

// A collector speaks every second, and one that is cut off from the database does beside the one
// that took over. A hold that ended before okLasts shows that there are two; for doubtLasts behind
// that, or behind another such word, the word that the database is there holds for okLasts
// against the other one.
const (
	okLasts    = 2 * time.Second
	doubtLasts = 10 * time.Second
)

// believes reports whether what is said of the database counts.
func (s *session) believes(now time.Time, db sparkplug.DBState) bool {
	if db != sparkplug.DBDown || !now.Before(s.doubtUntil) || now.Sub(s.okAt) >= okLasts {
		return true
	}
	s.doubtUntil = now.Add(doubtLasts)
	return false
}

// databaseIs follows the database, as an acknowledgement says it.
func (s *session) databaseIs(now time.Time, db sparkplug.DBState) {
	if db != sparkplug.DBDown {
		s.okAt = now
		if s.hold && now.Sub(s.holdSince) < okLasts {
			s.doubtUntil = now.Add(doubtLasts)
		}
		s.endHold(now)
		return
	}
	s.up.table.Hold(now)
	s.beginHold(now, "the database is away")
}

// watchHold begins a hold when nobody acknowledges: a collector that is there says
// something every second.
func (s *session) watchHold(now time.Time) {
	if s.hold {
		if s.holdSilent {
			s.up.table.Hold(now)
		}
		return
	}
	if s.abandoned() || now.Sub(s.heard) >= s.up.cfg.Quiet {
		s.up.table.Hold(now)
		s.beginHold(now, "nothing is heard from the collector")
		s.holdSilent = true
	}
}

func (s *session) beginHold(now time.Time, why string) {
	s.holdSilent = false // whoever says that the database is away is there
	if s.hold {
		return
	}
	s.hold, s.holdSince, s.holdWhy = true, now, why
	s.up.cfg.Metrics.holds.Inc()
	s.log.Warn("holding everything", "reason", why)
}

func (s *session) endHold(now time.Time) {
	if !s.hold {
		return
	}
	s.log.Info("holding ended", "after", now.Sub(s.holdSince).Round(time.Millisecond))
	s.hold, s.holdSilent, s.holdSince, s.holdWhy = false, false, time.Time{}, ""
	s.up.table.Recall()
	s.leaveHeld(now)
	s.lanes.rescan()
	s.lanes.backlogFrom = now.Add(s.up.cfg.HoldGrace)
	if !s.sync.done {
		s.sync.by = now.Add(max(s.sync.timeout, s.up.cfg.SyncTimeout))
	}
}

// quietAt is when a silent collector makes a hold begin.
func (s *session) quietAt() time.Time {
	if !s.born || s.hold {
		return time.Time{}
	}
	return s.heard.Add(s.up.cfg.Quiet)
}
