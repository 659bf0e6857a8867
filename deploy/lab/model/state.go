package model

import (
	"fmt"
	"strings"
)

// The bounds of a world. A name is an epoch and a position in it.
const (
	epochs    = 4
	positions = 3
	names     = epochs * positions
	readings  = 3 // at most; they count from 1
	credit    = 2 // messages under way
)

// name is a record's place in the arrays: epoch times positions plus position.
type name = uint8

// records is a reading for each name; 0 where there is none.
type records [names]uint8

// set is a set of names.
type set uint16

func (s set) has(n name) bool { return s&(1<<n) != 0 }
func (s *set) add(n name)     { *s |= 1 << n }
func (s *set) remove(n name)  { *s &^= 1 << n }
func epochOf(n name) uint8    { return n / positions }
func allOf(epoch uint8) set   { return (1<<positions - 1) << (epoch * positions) }
func of(epoch, at uint8) name { return epoch*positions + at }
func spell(n name) string     { return fmt.Sprintf("%c%d", 'A'+epochOf(n), n%positions) }
func (r *records) any() bool  { return *r != records{} }
func (r *records) held() (n int) {
	for _, x := range r {
		if x != 0 {
			n++
		}
	}
	return n
}

// cell is a box.
type cell struct {
	exists, up bool

	// What survives a crash.
	disk     records
	retained records // acknowledged, and kept
	losses   set     // that are to be told
	moved    set     // from an epoch that others had used
	listed   [epochs]bool
	ended    [epochs]uint8 // one more than the highest position known on disk

	// What does not.
	memory  records // taken, and not on disk
	current uint8   // epoch
	next    uint8   // position
	sent    set     // by this process
	session uint8
	synced  bool
	fresh   set // losses that are not on disk yet
}

// message is a record under way, or the loss of one.
type message struct {
	used    bool
	loss    bool
	moved   bool
	name    name
	reading uint8
	session uint8
}

// answer is what the collector says that the database has. A record is deleted for what
// is committed; that it is told lost settles its loss alone, since another box may have it.
type answer struct{ committed, lost set }

func (a answer) String() string {
	if a.lost == 0 {
		return a.committed.String()
	}
	return fmt.Sprintf("%v and the loss of %v", a.committed, a.lost)
}

// database is the ledger and the rows, which change in one transaction.
type database struct {
	committed, lost set
	rows            [readings + 1]uint8 // how often each reading is stored
	under           records             // the reading that was stored under each name
	moved           set                 // names, under which what had another was stored
}

// world is a state of everything.
type world struct {
	cells    [2]cell
	wire     [credit + 1]message
	db       database
	backup   database
	early    set    // acknowledged without a commit
	ack      answer // the acknowledgement under way: it may come late, and again
	acking   bool
	session  uint8 // the last born: what the collector listens to
	parent   [epochs]uint8
	begun    uint8 // epochs
	sessions uint8
	taken    uint8
	safe     [readings + 1]bool // on disk, or known to be stored
	excused  [readings + 1]bool // may be gone: the crash or overflow is told, or it went with its disk
	full     records            // readings that overflowed, by the name under which that is told
	snapshot cell
	saved    bool
	resumed  bool
	copied   bool
	restored bool
	failed   uint8 // writes that failed
}

// holds reports whether a reading is anywhere but in the database.
func (w *world) holds(r uint8) bool {
	for i := range w.cells {
		c := &w.cells[i]
		for n := range names {
			if c.disk[n] == r || c.memory[n] == r || c.retained[n] == r {
				return true
			}
		}
	}
	return false
}

// fault says what is wrong in a state, or nothing.
func (w *world) fault(c *Scenario) string {
	for r := uint8(1); r <= w.taken; r++ {
		stored := w.db.rows[r]
		switch {
		case stored > 1:
			return fmt.Sprintf("reading %d is stored twice", r)
		case stored == 0 && !w.excused[r] && !w.holds(r):
			return fmt.Sprintf("reading %d is gone, and nobody is told", r)
		}
	}
	if n, lacking := w.unheard(); lacking {
		return fmt.Sprintf("the database lacks %s, and nobody will send it", spell(n))
	}
	under := 0
	for _, m := range w.wire {
		if m.used {
			under++
		}
	}
	if under > credit {
		return fmt.Sprintf("%d messages are under way, and %d were granted", under, credit)
	}
	for n := range name(names) {
		r := w.db.under[n]
		switch {
		case w.db.lost.has(n) && r != 0 && w.db.rows[r] > 0 && !w.db.committed.has(n):
			return fmt.Sprintf("%s is told lost, and reading %d is stored under it", spell(n), r)
		case w.full[n] != 0 && r != 0 && r != w.full[n]:
			return fmt.Sprintf("the loss of reading %d is told of %s, which is reading %d's", w.full[n], spell(n), r)
		case w.db.lost.has(n) && c.Stranger && w.falselyLost(n):
			return fmt.Sprintf("%s is told lost, and a cell still holds it", spell(n))
		}
	}
	return ""
}

// unheard reports a record that is kept after its acknowledgement, that the database has
// no more, and that a cell which has heard so will not send.
func (w *world) unheard() (name, bool) {
	for i := range w.cells {
		c := &w.cells[i]
		for n, r := range c.retained {
			if c.synced && r != 0 && c.disk[n] == 0 && w.db.rows[r] == 0 {
				return name(n), true
			}
		}
	}
	return 0, false
}

// falselyLost reports whether a cell holds what is told lost.
func (w *world) falselyLost(n name) bool {
	for i := range w.cells {
		if w.cells[i].disk[n] != 0 || w.cells[i].memory[n] != 0 {
			return true
		}
	}
	return false
}

func (s set) String() string {
	var list []string
	for n := range name(names) {
		if s.has(n) {
			list = append(list, spell(n))
		}
	}
	return "{" + strings.Join(list, " ") + "}"
}
