package web

import (
	"fmt"
	"slices"
	"time"
)

// The other roles of the collector.
const (
	intakeRole   = "intake"
	sentinelRole = "sentinel"
)

// lostWith says what is lost with a role: when nothing is heard of it, since when; when it
// says itself that it cannot work, since when. Why it cannot is logged.
var lostWith = map[string]struct{ silent, faulty string }{
	intakeRole: {
		"INTAKE AWAY since %s: readings are not stored; the cells keep them",
		"READINGS NOT STORED since %s: the cells keep them",
	},
	sentinelRole: {
		"SENTINEL AWAY since %s: no new alarms, and those shown are as of then; acknowledgements are not taken",
		"ALARMS NOT JOURNALLED since %s: new ones are shown, and not yet durable; of those before some may be missing",
	},
}

// withoutJournal is told of the sentinel while the database is known to be away.
const withoutJournal = "ALARMS MAY BE MISSING since %s: the sentinel is without its journal; those of before are as of then"

// setRoles asks for the other roles. Without the broker nothing is known of them, and
// what is lost then is told already.
func (l *links) setRoles() bool {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	var absent []Absence
	if l.broker.since.IsZero() {
		absent = l.askRoles(now)
	}
	same := func(a, b Absence) bool { return a.Role == b.Role && (a.Fault == "") == (b.Fault == "") }
	changed := !slices.EqualFunc(absent, l.roles, same)
	if changed {
		l.log.Warn("roles that are not done, for the pages", "now", absent, "before", l.roles)
	}
	l.roles = absent
	// A sentinel that cannot read its journal may have begun without it: then it knows
	// nothing of the alarms before, and its silence about one says nothing.
	untold := slices.ContainsFunc(absent, func(a Absence) bool { return a.Role == sentinelRole })
	switch {
	case !l.broker.since.IsZero() || untold:
		l.told = time.Time{}
	case l.told.IsZero():
		l.told = now
	}
	return changed
}

// toldFor returns for how long all of the sentinel's alarms have come here without a break.
func (l *links) toldFor(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told.IsZero() {
		return 0
	}
	return now.Sub(l.told)
}

// missing writes into a stamp what is lost with a role. What a role lacks because the
// database is away is told with that.
func (l *links) missing(s *Stamp, a Absence, databaseAway bool) {
	if a.Role == sentinelRole {
		s.alarmsSince(a.Since)
	}
	switch lost := lostWith[a.Role]; {
	case a.Fault == "":
		s.Lost = append(s.Lost, fmt.Sprintf(lost.silent, l.clock(a.Since)))
	case !databaseAway:
		s.Lost = append(s.Lost, fmt.Sprintf(lost.faulty, l.clock(a.Since)))
	case a.Role == sentinelRole:
		s.Lost = append(s.Lost, fmt.Sprintf(withoutJournal, l.clock(a.Since)))
	}
}
