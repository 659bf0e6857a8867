package flight

import (
	"slices"
	"time"
)

// suspect is a record that has failed before. It is kept until it is acknowledged.
type suspect struct {
	record Record
	fails  int           // timeouts while others were acknowledged
	breaks int           // ends of a session with it in flight
	parks  int           // times it was parked; above 0 it is kept outside the window
	wait   time.Duration // how long it is parked for the next time; 0: ParkFor
	due    time.Time     // when a parked record is tried again
	reason string

	broke bool // it was parked for broken connections
	tried bool // and was sent in a session that was well since
}

// Parked is a record that is kept out of the way of the others and tried again
// now and then.
type Parked struct {
	Record
	Reason string
	Times  int       // how often it was parked
	Next   time.Time // from then on it may be tried, one at a time, or before: see [Table.Heard]
}

// suspect returns the record's entry, made if there is none, or nil when too many
// are parked. One that has merely failed before makes room for a newer one.
func (t *Table) suspect(k Key) *suspect {
	if s := t.suspects[k]; s != nil {
		return s
	}
	if len(t.suspects) >= t.cfg.ParkLimit {
		for old, s := range t.suspects {
			if s.parks == 0 {
				delete(t.suspects, old)
				break
			}
		}
	}
	if len(t.suspects) >= t.cfg.ParkLimit {
		return nil
	}
	s := &suspect{}
	t.suspects[k] = s
	return s
}

// park sets the record aside. The caller takes it out of flight.
func (t *Table) park(now time.Time, s *suspect, r Record, reason string) Parked {
	d := min(max(s.wait, t.cfg.ParkFor), t.cfg.ParkMax)
	s.wait = 2 * d
	s.parks++
	s.record, s.reason, s.due = r, reason, now.Add(d)
	return Parked{Record: r, Reason: reason, Times: s.parks, Next: s.due}
}

// Park sets a record aside that cannot be sent as it is. ok is false when too many
// are parked already; then it has only left the table.
func (t *Table) Park(now time.Time, r Record, reason string) (p Parked, ok bool) {
	t.drop(r.Key)
	s := t.suspect(r.Key)
	if s == nil {
		return Parked{}, false
	}
	s.tried = true
	return t.park(now, s, r, reason), true
}

// brokenBy counts the end of a session with the record in flight, and reports whether it is
// parked for it.
func (t *Table) brokenBy(now time.Time, s *suspect, r Record) (Parked, bool) {
	s.breaks++
	if s.parks == 0 && s.breaks < t.cfg.ParkAfter {
		return Parked{}, false
	}
	s.broke = true
	return t.park(now, s, r, "in flight whenever the connection broke"), true
}

// Heard says that the collector was heard. In a session in which it has been for some time the
// link does not break by itself, as one may that had records parked: what was parked for broken
// connections is tried then, one at a time and each once. One that breaks this session too waits
// for its time from then on: so each breaks one more at most.
func (t *Table) Heard(now time.Time) {
	if t.heardFrom.IsZero() {
		t.heardFrom = now
	}
	t.well = now.Sub(t.heardFrom) >= t.cfg.WellAfter
}

// toTry reports whether a record is parked and to be tried.
func (t *Table) toTry(now time.Time, s *suspect) bool {
	return s.parks > 0 && (!s.due.After(now) || t.excused(s))
}

// excused reports whether it may have been the link that a record was parked for.
func (t *Table) excused(s *suspect) bool { return t.well && s.broke && !s.tried }

// probe notes that a parked record is sent. What a bad link added to its times is no measure of
// it: they begin anew.
func (t *Table) probe(now time.Time, s *suspect) {
	t.probing = true
	if t.excused(s) {
		s.tried, s.due, s.wait = true, now, 0
	}
}

// Expire looks for records whose time has run out. They leave the window and wait
// to be sent again, oldest first; one that has failed too often while others were
// acknowledged is parked, and returned.
func (t *Table) Expire(now time.Time) []Parked {
	if t.next.IsZero() || t.next.After(now) {
		return nil
	}
	var parked []Parked
	var late []*entry
	t.next = time.Time{}
	for _, e := range t.flying {
		if e.due.After(now) {
			if t.next.IsZero() || e.due.Before(t.next) {
				t.next = e.due
			}
			continue
		}
		if p, ok := t.failed(now, e); ok {
			parked = append(parked, p)
			continue
		}
		late = append(late, e)
	}
	if len(late) > 0 {
		t.win.lost(now, t.timeout(0))
		t.wait(late)
	}
	return parked
}

// failed counts a timeout and reports whether the record is parked for it. A
// timeout counts against the record only when others have arrived meanwhile.
func (t *Table) failed(now time.Time, e *entry) (Parked, bool) {
	known := t.suspects[e.Key]
	if t.passed == e.passed && (known == nil || known.parks == 0) {
		return Parked{}, false
	}
	s := t.suspect(e.Key)
	if s == nil {
		return Parked{}, false
	}
	s.fails++
	if s.parks == 0 && s.fails < t.cfg.ParkAfter {
		return Parked{}, false
	}
	t.remove(e)
	return t.park(now, s, e.Record, "not acknowledged while others were"), true
}

// wait moves entries from flight to the waiting list, which stays in the order in
// which they were sent.
func (t *Table) wait(list []*entry) {
	slices.SortFunc(list, func(a, b *entry) int {
		if c := a.sentAt.Compare(b.sentAt); c != 0 {
			return c
		}
		if a.Epoch == b.Epoch && a.Position < b.Position {
			return -1
		}
		return 1
	})
	for _, e := range list {
		t.remove(e)
		t.queued[e.Key] = e
		t.waiting = append(t.waiting, e)
	}
}

// Recall takes everything out of flight, to be sent again: after a rebirth, and
// when the database is back. The window starts small again.
func (t *Table) Recall() {
	list := make([]*entry, 0, len(t.flying))
	for _, e := range t.flying {
		list = append(list, e)
	}
	old := t.waiting
	t.waiting = nil
	t.wait(list)
	t.waiting = append(t.waiting, old...)
	t.win.limit, t.win.threshold = float64(t.win.first), 0
}

// Resend returns the record to send again next: one that timed out or was
// recalled, or else a parked one whose time has come, one of those at a time.
func (t *Table) Resend(now time.Time) (Record, bool) {
	for len(t.waiting) > 0 {
		if e := t.waiting[0]; !e.dropped {
			return e.Record, true
		}
		t.waiting[0] = nil
		t.waiting = t.waiting[1:]
	}
	t.waiting = nil
	if t.probing {
		return Record{}, false
	}
	var first *suspect
	for k, s := range t.suspects {
		if t.toTry(now, s) && t.flying[k] == nil && (first == nil || s.due.Before(first.due)) {
			first = s
		}
	}
	if first == nil {
		return Record{}, false
	}
	return first.record, true
}

// Deadline returns when [Table.Expire] or [Table.Resend] may next have something to
// do that they do not have now; it is zero when nothing is due in the future.
func (t *Table) Deadline(now time.Time) time.Time {
	at := t.next
	if t.probing {
		return at
	}
	for _, s := range t.suspects {
		if s.parks > 0 && s.due.After(now) && (at.IsZero() || s.due.Before(at)) {
			at = s.due
		}
	}
	return at
}

// Parked returns what is parked, in no order.
func (t *Table) Parked() []Parked {
	var list []Parked
	for _, s := range t.suspects {
		if s.parks > 0 {
			list = append(list, Parked{Record: s.record, Reason: s.reason, Times: s.parks, Next: s.due})
		}
	}
	return list
}

// HasRun reports whether a record of the run is in flight or waits to be sent
// again. What is parked does not count.
func (t *Table) HasRun(unit string, born int64) bool {
	return t.has(func(r *Record) bool { return r.Unit == unit && r.Born == born })
}

// HasUnit reports the same of any run of the unit.
func (t *Table) HasUnit(unit string) bool {
	return t.has(func(r *Record) bool { return r.Unit == unit })
}

func (t *Table) has(match func(*Record) bool) bool {
	for _, m := range [...]map[Key]*entry{t.flying, t.queued} {
		for _, e := range m {
			if match(&e.Record) {
				return true
			}
		}
	}
	return false
}

// Empty reports whether nothing is in flight and nothing waits to be sent again.
func (t *Table) Empty() bool { return len(t.flying) == 0 && len(t.queued) == 0 }
