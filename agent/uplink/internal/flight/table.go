package flight

import (
	"slices"
	"time"

	"andon.internal/shared/ranges"
)

// Key is a record's name for ever.
type Key struct {
	Epoch    [16]byte
	Position uint64
}

// Lane says why a record is sent now.
type Lane uint8

// The lanes.
const (
	Live    Lane = iota // fresh and in order
	Backlog             // everything else that is held, oldest first
)

// Record is what the table knows of a record; its data stays in the buffer.
type Record struct {
	Key
	Lane        Lane
	Bytes       int64  // size of the message
	Unit        string // empty for a loss record
	Fingerprint uint64 // of the unit's profile
	Born        int64  // unix ns; (Unit, Born) is the run
	End         bool   // the last record of its run
}

// Config holds the limits of a [Table]. Every field must be set.
type Config struct {
	FirstRecords int           // window at the start of a session
	FirstBytes   int64         // bytes in flight until the collector grants some
	BacklogShare float64       // of the window, while both lanes have something to send
	Timeout      time.Duration // after this without acknowledgement a record is sent again
	TimeoutMax   time.Duration // what the timeout backs off to, per record
	ParkAfter    int           // failures after which a record is parked
	ParkFor      time.Duration // the first time a record is parked for; doubles
	ParkMax      time.Duration // what that doubles to
	WellAfter    time.Duration // so long the collector is heard until a session is well, see [Table.Heard]
	ParkLimit    int           // records that may be parked or suspected at once
}

// Table holds what is in flight. It outlives sessions, because a record that
// breaks every session has to be recognised.
type Table struct {
	cfg      Config
	win      window
	yield    yield
	flying   map[Key]*entry
	bytes    [2]int64 // by lane
	byLane   [2]int
	owed     int64    // bytes of the backlog's record that found no room; 0: none did
	waiting  []*entry // timed out or recalled, in the order they are to be sent
	queued   map[Key]*entry
	suspects map[Key]*suspect
	probing  bool // a parked record is in flight
	// heardFrom is when the collector was first heard in this session; well, see Heard.
	heardFrom time.Time
	well      bool
	rtt       time.Duration // smoothed; 0 before the first sample
	heldAt    time.Time     // what was sent before this tells nothing about the round trip
	next      time.Time     // nothing in flight is due before; zero when nothing is in flight
	passed    uint64        // acknowledgements so far
}

// entry is one record on its way, or waiting to be sent again.
type entry struct {
	Record
	sentAt  time.Time
	due     time.Time
	tries   int    // times sent in this session
	passed  uint64 // Table.passed when it was last sent
	dropped bool   // no longer wanted while in the waiting list
}

// New returns an empty table. Call [Table.Begin] before the first record is sent.
func New(cfg Config) *Table {
	return &Table{
		cfg:      cfg,
		win:      window{first: cfg.FirstRecords, firstBytes: cfg.FirstBytes, limit: float64(cfg.FirstRecords)},
		flying:   make(map[Key]*entry),
		queued:   make(map[Key]*entry),
		suspects: make(map[Key]*suspect),
	}
}

// Begin starts a session with a small window. Nothing is in flight, and what the way takes is
// not known: it may be another one.
func (t *Table) Begin() {
	t.win.begin()
	t.yield.begin()
	t.owed = 0
}

// End ends a session: nothing is in flight any more, and the buffer gives it all
// out again. broken says that the peer ended it; a record in flight at ParkAfter
// such ends is parked, and returned.
func (t *Table) End(now time.Time, broken bool) []Parked {
	var parked []Parked
	for k, e := range t.flying {
		if !broken {
			continue
		}
		s := t.suspect(k)
		if s == nil {
			continue
		}
		if p, ok := t.brokenBy(now, s, e.Record); ok {
			parked = append(parked, p)
		}
	}
	clear(t.flying)
	clear(t.queued)
	t.next, t.heardFrom, t.well = time.Time{}, time.Time{}, false
	t.waiting, t.bytes, t.byLane, t.probing = nil, [2]int64{}, [2]int{}, false
	return parked
}

// Grant sets the collector's credit. Less than one record counts as one.
func (t *Table) Grant(records int, bytes int64) { t.win.setGrant(records, bytes) }

// Sent notes that a record is being sent, for the first time or again.
func (t *Table) Sent(now time.Time, r Record) {
	e := t.flying[r.Key]
	if e != nil {
		t.bytes[e.Lane] -= e.Bytes
		t.byLane[e.Lane]--
	} else {
		e = &entry{}
		if old := t.queued[r.Key]; old != nil {
			e.tries = old.tries
			t.drop(r.Key) // its place in the waiting list is passed over
		}
		t.flying[r.Key] = e
	}
	e.Record, e.sentAt, e.passed = r, now, t.passed
	e.due = now.Add(t.timeout(e.tries))
	e.tries++
	if t.next.IsZero() || e.due.Before(t.next) {
		t.next = e.due
	}
	t.bytes[r.Lane] += r.Bytes
	t.byLane[r.Lane]++
	if r.Lane == Backlog {
		t.owed = 0
	}
	if s := t.suspects[r.Key]; s != nil && s.parks > 0 {
		t.probe(now, s)
	}
}

// timeout is how long the try after the given number of earlier ones may take. It
// follows the round trip, so that a thin link is not flooded with repeats.
func (t *Table) timeout(tries int) time.Duration {
	d := max(t.cfg.Timeout, 3*t.rtt)
	for ; tries > 0 && d < t.cfg.TimeoutMax; tries-- {
		d *= 2
	}
	return min(d, t.cfg.TimeoutMax)
}

// Acked takes what the collector has acknowledged of an epoch out of the table and
// returns it.
func (t *Table) Acked(now time.Time, epoch [16]byte, s ranges.Set) []Record {
	var out []Record
	for k, e := range t.flying {
		if k.Epoch != epoch || !s.Contains(k.Position) {
			continue
		}
		t.sample(now, e)
		out = append(out, e.Record)
		t.remove(e)
		t.passed++
		t.win.acked()
	}
	for k, e := range t.queued {
		if k.Epoch == epoch && s.Contains(k.Position) {
			t.sample(now, e)
			out = append(out, e.Record)
			t.drop(k)
			t.passed++
		}
	}
	t.yield.acked(now)
	for k, q := range t.suspects {
		if k.Epoch != epoch || !s.Contains(k.Position) {
			continue
		}
		delete(t.suspects, k)
		if q.parks > 0 && !slices.ContainsFunc(out, func(r Record) bool { return r.Key == k }) {
			out = append(out, q.record)
		}
	}
	return out
}

// Forget takes a record out that the buffer no longer holds.
func (t *Table) Forget(k Key) {
	t.drop(k)
	delete(t.suspects, k)
}

// Unread takes a record out that cannot be read now. What is known against it stays, and a
// parked one waits.
func (t *Table) Unread(now time.Time, k Key) {
	t.drop(k)
	if s := t.suspects[k]; s != nil && s.parks > 0 {
		s.tried, s.due = true, now.Add(t.cfg.ParkFor)
	}
}

// drop takes a record out of flight and out of the waiting list.
func (t *Table) drop(k Key) {
	if e := t.flying[k]; e != nil {
		t.remove(e)
	}
	if e := t.queued[k]; e != nil {
		delete(t.queued, k)
		e.dropped = true
	}
}

func (t *Table) remove(e *entry) {
	delete(t.flying, e.Key)
	t.bytes[e.Lane] -= e.Bytes
	t.byLane[e.Lane]--
	if len(t.flying) == 0 {
		t.next = time.Time{}
	}
	if s := t.suspects[e.Key]; s != nil && s.parks > 0 {
		t.probing = false
	}
}

// sample measures the round trip by a record that was sent once.
func (t *Table) sample(now time.Time, e *entry) {
	if e.tries != 1 || !e.sentAt.After(t.heldAt) {
		return
	}
	d := now.Sub(e.sentAt)
	t.yield.note(now, e.sentAt, e.Lane)
	if t.rtt == 0 {
		t.rtt = d
		return
	}
	t.rtt += (d - t.rtt) / 8
}

// Hold says that nothing can be acknowledged at this time: the database is away.
// The caller stops calling [Table.Expire] and [Table.Resend] until it is back, and
// then calls [Table.Recall].
func (t *Table) Hold(now time.Time) { t.heldAt = now }

// Holds reports whether a record is in flight, waiting to be sent again, or
// parked: the lanes pass over it.
func (t *Table) Holds(k Key) bool {
	if t.flying[k] != nil || t.queued[k] != nil {
		return true
	}
	s := t.suspects[k]
	return s != nil && s.parks > 0
}
