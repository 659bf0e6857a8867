package model

// plantSteps is what network, collector and database do.
func (s *stepper) plantSteps() {
	for k, m := range s.from.wire {
		if m.used {
			s.deliver(k, m)
		}
	}
	s.acknowledge()
	if s.from.acking {
		for i := range s.from.cells {
			s.obey(i)
		}
	}
	if !s.c.keeps(KeepLedger) && s.from.db.committed != 0 {
		w := *s.from
		w.db.committed = 0
		s.add(&w, "the collector prunes its ledger")
	}
}

// deliver loses, brings or repeats a message.
func (s *stepper) deliver(k int, m message) {
	w := *s.from
	w.wire[k] = message{}
	s.add(&w, "the network loses %s", spell(m.name))
	if m.session != s.from.session && s.c.keeps(OneSession) {
		return // refused, as good as lost
	}
	w = *s.from
	s.commit(&w, m)
	s.add(&w, "the collector commits %s%s, and it is still under way", spell(m.name), kind(m))
	w.wire[k] = message{}
	s.add(&w, "the collector commits %s%s", spell(m.name), kind(m))
	if !s.c.keeps(AckAfterCommit) {
		w = *s.from
		w.wire[k] = message{}
		w.early.add(m.name)
		s.add(&w, "the collector takes %s, and crashes before it commits", spell(m.name))
	}
}

func kind(m message) string {
	if m.loss {
		return " as lost"
	}
	return ""
}

// commit is the transaction of rows and ledger.
func (s *stepper) commit(w *world, m message) {
	db := &w.db
	known := db.committed.has(m.name) && s.c.keeps(Ledger)
	switch {
	case m.loss && db.committed.has(m.name):
		if !s.c.keeps(CommittedWins) {
			db.committed.remove(m.name)
			db.lost.add(m.name)
		}
	case m.loss:
		db.lost.add(m.name)
	case known:
	case db.lost.has(m.name) && !s.c.keeps(CommittedWins):
	default:
		stored := s.finds(db, m)
		db.committed.add(m.name)
		db.lost.remove(m.name)
		if stored {
			return
		}
		db.rows[m.reading]++
		db.under[m.name] = m.reading
		if m.moved {
			db.moved.add(m.name)
		}
	}
}

// finds reports whether the reading of a record is looked for, and is there under a name of
// another epoch.
func (s *stepper) finds(db *database, m message) bool {
	looked := m.moved && s.c.keeps(KnowMoved) || db.movedAt(m.reading) && s.c.keeps(KnowBehindMoved)
	if !looked {
		return false
	}
	for n, r := range db.under {
		if r == m.reading && epochOf(name(n)) != epochOf(m.name) {
			return true
		}
	}
	return false
}

// movedAt reports whether a reading, whose number is its time, lies between the first and the
// last that were stored under new names.
func (db *database) movedAt(r uint8) bool {
	first, last := uint8(readings+1), uint8(0)
	for n, x := range db.under {
		if db.moved.has(name(n)) {
			first, last = min(first, x), max(last, x)
		}
	}
	return first <= r && r <= last
}

// acknowledge says what the database has, now.
func (s *stepper) acknowledge() {
	a := answer{s.from.db.committed | s.from.early, s.from.db.lost}
	if s.from.acking && s.from.ack == a || a == (answer{}) {
		return
	}
	w := *s.from
	w.ack, w.acking = a, true
	s.add(&w, "the collector acknowledges %s", a)
}

// obey lets a cell act on the acknowledgement, which stays under way.
func (s *stepper) obey(i int) {
	w := *s.from
	if c := &w.cells[i]; !c.exists || !c.up {
		return
	}
	s.drop(&w, i, w.ack)
	if w != *s.from {
		s.add(&w, "cell %d obeys the acknowledgement of %s", i+1, w.ack)
	}
}

// drop deletes what is said to be in the database.
func (s *stepper) drop(w *world, i int, has answer) {
	c := &w.cells[i]
	before := c.disk
	for n := range name(names) {
		if !(has.committed | has.lost).has(n) {
			continue
		}
		sent := c.sent.has(n) || epochOf(n) != c.current && n%positions < c.ended[epochOf(n)]
		if !sent && s.c.keeps(OnlySent) {
			continue
		}
		c.losses.remove(n)
		c.fresh.remove(n)
		if !has.committed.has(n) {
			continue
		}
		if r := max(c.disk[n], c.memory[n]); r != 0 && s.c.Restore {
			c.retained[n] = r
		}
		c.disk[n], c.memory[n] = 0, 0
	}
	if !s.c.keeps(KeepTail) && before.any() && !c.disk.any() {
		c.memory = records{}
	}
}

// birth tells the collector what the cell has; the answer is what the database has.
func (s *stepper) birth(i int) {
	w := *s.from
	c := &w.cells[i]
	w.session = c.session
	for e := range uint8(epochs) {
		if c.listed[e] && e != c.current && !c.holdsOf(e) {
			c.listed[e] = false
		}
	}
	s.closeEpochs(&w, c)
	known := answer{w.db.committed, w.db.lost}
	var foreign set
	for at := range uint8(positions) {
		if n := of(c.current, at); known.committed.has(n) && !c.sent.has(n) && (at >= c.next || c.disk[n]|c.memory[n] != 0) {
			foreign.add(n)
		}
	}
	if foreign != 0 && s.c.keeps(ForkOnSync) {
		if int(w.begun) < s.c.Epochs {
			s.fork(&w, i)
			s.add(&w, "cell %d learns that others have used %s, and goes on in epoch %c", i+1, foreign, 'A'+c.current)
		}
		return
	}
	s.drop(&w, i, known)
	for n, r := range c.retained {
		if r != 0 && !known.committed.has(name(n)) && s.told(c, name(n)) && s.c.keeps(Requeue) {
			c.disk[n], c.retained[n] = r, 0
		}
	}
	c.synced = true
	s.add(&w, "cell %d is born, and learns that the database has %s", i+1, known)
}

// told reports whether a database that lacks a position may have had it: what was sent of the
// current epoch, and all of one that has ended.
func (s *stepper) told(c *cell, n name) bool {
	e := epochOf(n)
	if e != c.current && (s.c.keeps(MissAll) || c.sent&allOf(e) == 0) {
		return n%positions < c.ended[e]
	}
	return c.sent.has(n)
}

// fork moves what was never sent into a new epoch.
func (s *stepper) fork(w *world, i int) {
	c := &w.cells[i]
	e := w.begun
	w.begun++
	w.parent[e] = c.current
	old := c.current
	c.ended[old] = c.next
	c.current, c.next, c.listed[e] = e, 0, true
	for at := range uint8(positions) {
		n := of(old, at)
		if c.sent.has(n) {
			continue
		}
		for _, r := range []*records{&c.disk, &c.memory} {
			if r[n] == 0 {
				continue
			}
			r[of(e, c.next)], r[n] = r[n], 0
			c.moved.add(of(e, c.next))
			c.next++
		}
	}
	c.ended[e] = c.next
}

func (c *cell) holdsOf(e uint8) bool {
	for at := range uint8(positions) {
		if n := of(e, at); c.disk[n]|c.memory[n]|c.retained[n] != 0 || c.losses.has(n) || c.fresh.has(n) {
			return true
		}
	}
	return false
}

// closeEpochs tells as lost what an epoch that a birth does not list any more left open.
func (s *stepper) closeEpochs(w *world, c *cell) {
	for e := range w.begun {
		if c.listed[e] || s.c.keeps(CloseByDescent) && !descends(w, c.current, e) {
			continue
		}
		highest := -1
		for at := range uint8(positions) {
			if w.db.committed.has(of(e, at)) {
				highest = int(at)
			}
		}
		for at := range max(highest, 0) {
			if n := of(e, uint8(at)); !w.db.committed.has(n) {
				w.db.lost.add(n)
			}
		}
	}
}

func descends(w *world, e, from uint8) bool {
	for e != from && w.parent[e] != e {
		e = w.parent[e]
	}
	return e == from
}
