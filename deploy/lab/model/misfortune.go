package model

import "slices"

// misfortunes is what happens to whole machines, once each.
func (s *stepper) misfortunes() {
	w := *s.from
	first := &w.cells[0]
	if s.c.PutBack && first.up && !w.saved {
		w.snapshot, w.saved = *first, true
		s.add(&w, "a snapshot is taken of cell 1")
	}
	if w = *s.from; s.c.PutBack && w.saved && !w.resumed {
		s.putBack(w)
	}
	if w = *s.from; s.c.Stranger && !w.cells[1].exists {
		w.cells[1].exists = true
		s.add(&w, "somebody gives another box the same name")
	}
	if w = *s.from; s.c.Clone && !w.cells[1].exists {
		w.cells[1] = *first
		lose(&w.cells[1])
		s.add(&w, "somebody puts a copy of cell 1's disk into another box")
	}
	if w = *s.from; s.c.Beside && first.up && !w.cells[1].exists {
		w.cells[1] = *first
		s.connect(&w, 1)
		s.add(&w, "a copy of cell 1, as it runs, begins beside it")
	}
	if w = *s.from; s.c.Restore && !w.copied {
		w.backup, w.copied = w.db, true
		s.add(&w, "the database is backed up")
	}
	if w = *s.from; s.c.Restore && w.copied && !w.restored && w.db != w.backup {
		w.db, w.restored, w.acking = w.backup, true, w.acking && s.c.Limits
		for i := range w.cells { // the collector asks for births
			w.cells[i].synced = false
		}
		s.add(&w, "the database is restored")
	}
}

// putBack resumes the snapshot: what the machine took since is gone with its disk, unless
// it was sent.
func (s *stepper) putBack(w world) {
	w.resumed = true
	w.cells[0] = w.snapshot
	for r := uint8(1); r <= w.taken; r++ {
		if w.db.rows[r] == 0 && !w.onDisk(r) {
			w.safe[r] = false
		}
		if w.db.rows[r] == 0 && !w.holds(r) {
			w.excused[r] = true
		}
	}
	w.snapshot = cell{}
	s.connect(&w, 0)
	s.add(&w, "cell 1 resumes from its snapshot")
}

// onDisk reports whether a reading would survive a crash.
func (w *world) onDisk(r uint8) bool {
	return slices.ContainsFunc(w.cells[:], func(c cell) bool { return slices.Contains(c.disk[:], r) })
}
