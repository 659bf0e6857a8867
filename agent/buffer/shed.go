package buffer

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"andon.internal/shared/ranges"
)

const (
	maxShed    = 20_000 // records that are let go of at once
	maxTold    = 64     // loss records that this makes
	shedAtOnce = 512    // records that are looked at in one go
)

// shedStep is how much more is let go of than is needed, so that stretches are lost and
// not every other record, and so that their pages are worth a delete of their own.
func (b *Buffer) shedStep() int64 { return min(b.o.RotateBytes/8, b.limitOf(Bulk)/32) }

// makeRoom lets go of older records, as the policy says, until what is to be written now
// fits the quota: of such in the files, and where these are not enough, or cannot be read,
// of such in memory. The loss records that tell of them go with what is written next,
// and the deletes behind them. Nothing goes for what comes from a source that can be read
// again: that was taken when there was room, and waits where the disk has less since. It is
// called with disk held.
func (b *Buffer) makeRoom(all bool) {
	now := time.Now()
	b.mu.Lock()
	due := b.writeDueLocked(now)
	over := b.overLocked()
	for over > 0 && b.expireLocked(expireAtOnce) {
		over = b.overLocked()
	}
	idle := over <= 0 || b.o.Policy == DropNewest || b.stuffed || !all && (due.IsZero() || due.After(now)) ||
		!slices.ContainsFunc(b.x.queue, (*entry).comesOnce)
	if !idle {
		b.setFullLocked()
	}
	b.mu.Unlock()
	if idle {
		return
	}
	if b.shed(over+b.shedStep(), now) >= over {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if over = b.overLocked(); over > 0 && b.cramped == 0 && !b.canMoveLocked() { // what is moved is older, and not seen yet
		most := int64(b.x.unwritten.Space) - over
		b.dropQueuedLocked(now, false, func() bool { return int64(b.x.unwritten.Space) <= most })
		b.stuffed = b.overLocked() > 0
		b.closeDueLossesLocked(now, all)
	}
}

// comesOnce reports whether e waits to be written and is of a source that cannot be read again.
func (e *entry) comesOnce() bool {
	return e.stage != gone && !e.bound && e.cursor == nil && e.class != Loss
}

// overLocked returns by how many bytes of pages the quota is exceeded when all that waits
// in memory has been written, and what is let go of deleted.
func (b *Buffer) overLocked() int64 {
	return b.x.used - b.x.doomed + int64(b.x.unwritten.Space) - b.quotaLocked()
}

// thinned is how far policy Thin has come: behind at it has looked at count records since
// it began at the oldest, in stretches of run.
type thinned struct {
	at    *Key
	count uint64
	run   uint64
}

// maxIslands is about how many pieces policy Thin leaves of what is held at most: the ledger
// and the index grow with them, and the uplink sends oldest first while there are four times
// as many. Where there are more records it keeps stretches of them, so long that as many
// records as there are now lie in so many pieces: once it is through, and it looks at all that
// comes meanwhile, as many are held again.
const maxIslands = 512

// keep says whether the next record is one of those that policy Thin keeps: of every k
// stretches one, each time another, so that none of several units that take turns is left
// out for good.
func (t *thinned) keep(k int) bool {
	n := t.count / t.run
	t.count++
	return n%uint64(k) == n/uint64(k)%uint64(k)
}

// shed lets go of records in the files, oldest first, until their space is freed. It
// returns how much will be, once the loss records are safe.
func (b *Buffer) shed(want int64, now time.Time) int64 {
	s := shedding{b: b, now: now, want: want}
	b.mu.Lock()
	if s.after = b.shedAt; b.o.Policy == Thin {
		s.after = b.thinned.at
	}
	b.mu.Unlock()
	for rounds := 0; !s.done(); {
		more, err := s.some()
		if err != nil {
			b.log.Warn("cannot look at what is to make room", "error", err)
			break
		}
		if !more {
			// All of it was seen: it begins anew, in the end with what is around alarms.
			if rounds++; rounds > 3 {
				break
			}
			s.after, s.begun, s.lone, s.last = nil, false, nil, rounds == 3
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.endLocked()
	switch {
	case b.o.Policy == Thin:
		b.thinned.at = s.after
	case s.done() && !s.last:
		b.shedAt = s.after
	default:
		b.shedAt = nil
	}
	b.m.shed.Add(float64(s.records))
	return s.freed
}

// shedding is one going through the records in the files.
type shedding struct {
	b     *Buffer
	now   time.Time
	want  int64
	after *Key // looked at up to here
	begun bool // the stretches of policy Thin are set
	last  bool // nothing else is left: what is around alarms goes too

	loss    LossInfo // of what is let go of; To is 0 where there is nothing
	records uint64
	lone    []*head // loss records before the first that goes
	doomed  int64   // space of the stretch at hand
	freed   int64
	told    int
}

func (s *shedding) done() bool {
	return s.freed >= s.want || s.records >= maxShed || s.told >= maxTold
}

// some looks at the next records that lie in one file; false when there are none.
func (s *shedding) some() (bool, error) {
	b := s.b
	b.mu.Lock()
	k, _, ok := b.x.nextReadable(s.after, nil)
	if !ok {
		b.mu.Unlock()
		return false, nil
	}
	if b.o.Policy == Thin && !s.begun {
		s.begun = true
		if s.after == nil {
			b.thinned = thinned{run: 1 + b.heldLocked()/maxIslands}
		}
	}
	f := b.x.where(k)
	if f == nil { // in memory, where the ring sees to it
		s.after = &k
		b.mu.Unlock()
		return true, nil
	}
	here, _ := b.x.byID[k.Epoch].held.Next(k.Position)
	there, _ := f.holds[k.Epoch].live.Next(k.Position)
	run := ranges.Range{From: k.Position, To: min(here.To, there.To, k.Position+shedAtOnce)}
	b.mu.Unlock()

	heads, err := b.heads(f, k.Epoch, run)
	switch {
	case errors.Is(err, errGone), errors.Is(err, ErrUnreadable): // and is passed over now
		return true, nil
	case errors.Is(err, ErrNewer) && len(heads) == 0:
		_ = b.newer(f, k, err) // noted and logged
		return true, nil
	case errors.Is(err, errDamagedFile):
		b.damagedFile(f, err)
		return true, nil
	case errors.Is(err, errDamaged) && len(heads) == 0:
		b.damaged(f, k, err)
		return true, nil
	case err != nil && len(heads) == 0:
		return false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range heads {
		if s.done() {
			break
		}
		s.after = &heads[i].Key
		s.oneLocked(f, &heads[i])
	}
	return true, nil
}

func (b *Buffer) heldLocked() (n uint64) {
	for _, ep := range b.x.epochs {
		n += ep.held.Len()
	}
	return n
}

// oneLocked decides on one record.
func (s *shedding) oneLocked(f *file, h *head) {
	b, p := s.b, h.Key.Position
	ep := b.x.byID[h.Key.Epoch]
	if ep == nil || !ep.held.Contains(p) || b.x.where(h.Key) != f {
		return // acknowledged meanwhile
	}
	l := LossInfo{Epoch: h.Key.Epoch, From: p, To: p + 1, Reason: ReasonOverflow}
	switch h.Class {
	case Bulk, Alarm:
		if !s.last && (h.Class == Alarm || b.sparedLocked(h.Key, h.Label)) {
			return
		}
		if b.o.Policy == Thin && b.thinned.keep(b.o.ThinKeep) {
			return
		}
		l.Rows, l.First, l.Last = uint64(h.Rows), h.First, h.Last
		if h.Label != "" {
			l.Labels = []string{h.Label}
		}
		b.countLossLocked(&l, 1)
		s.records++
		for _, before := range s.lone {
			s.retellLocked(before)
		}
		s.lone = nil
		s.takeLocked(&l, h)
	case Loss:
		if s.loss.To == 0 { // alone it would only be told anew
			s.lone = append(s.lone, h)
			return
		}
		s.retellLocked(h)
	}
}

// retellLocked takes up what a loss record tells into the loss of its neighbours.
func (s *shedding) retellLocked(h *head) {
	l := LossInfo{Epoch: h.Key.Epoch, From: h.Key.Position, To: h.Key.Position + 1, Reason: ReasonOverflow}
	if ep := s.b.x.byID[l.Epoch]; ep != nil && ep.held.Contains(l.From) && l.absorb(&h.told) {
		s.takeLocked(&l, h)
	}
}

// takeLocked lets go of one record, which l tells of.
func (s *shedding) takeLocked(l *LossInfo, h *head) {
	b, p := s.b, h.Key.Position
	ep := b.x.byID[h.Key.Epoch]
	s.tellLocked(l, h)
	if e := ep.mem[p]; e != nil {
		b.x.drop(ep, e)
	}
	at := ranges.Range{From: p, To: p + 1}
	ep.held.Remove(at.From, at.To)
	for _, other := range b.x.files {
		if o := other.holds[h.Key.Epoch]; o != nil {
			b.x.change(o, func() { cut(&o.live, at, &o.bad) })
		}
	}
	s.doomed += h.space
	s.freed += h.space
}

// tellLocked adds a record to the loss at hand, or ends that and begins another. What is
// told of a stretch that policy Thin went through names all its positions: those that were
// kept count as come when they do. So does one of a stretch in which much lies around alarms:
// a record of each piece would be more than what is let go of.
func (s *shedding) tellLocked(l *LossInfo, h *head) {
	if s.loss.To != 0 && (s.loss.join(l) || (s.b.o.Policy == Thin || s.told >= maxTold/2 || l.From < h.Key.Position) && s.loss.absorb(l)) {
		return
	}
	s.endLocked()
	s.loss = *l
	s.loss.Labels = slices.Clone(l.Labels)
}

// endLocked makes a record of the loss at hand.
func (s *shedding) endLocked() {
	b := s.b
	if s.loss.To == 0 {
		return
	}
	info := s.loss
	b.late.say(slog.LevelError, "readings are lost", "reason", info.Reason, "policy", b.o.Policy.String(), "readings", info.Rows,
		"from_position", info.From, "to_position", info.To)
	e := lossEntry(&info, s.now, b.o.WriteAhead)
	e.bury, e.doomed = &info, s.doomed
	b.x.doomed += s.doomed
	b.deadLocked(s.now)
	b.x.enqueue(e, s.now, b.o.markStep())
	b.rememberLocked(e.key, &info)
	if b.x.show(b.x.current()) {
		b.signalChanged()
	}
	s.told++
	s.loss, s.doomed = LossInfo{}, 0
}
