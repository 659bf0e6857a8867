package buffer

import (
	"log/slog"
	"slices"
	"time"
)

// openLoss is a loss that may still grow. It has no position yet; it becomes a record
// when it is closed.
type openLoss struct {
	info    LossInfo
	records uint64
	bury    bool // the positions are in files and to be deleted
	due     time.Time
}

const (
	lossWaitMin = time.Second
	lossWaitMax = time.Minute
)

// lossOf is the loss of one item.
func lossOf(reason string, k Key, it *Item) LossInfo {
	l := LossInfo{Epoch: k.Epoch, From: k.Position, To: k.Position + 1, Reason: reason, Rows: uint64(it.Rows), First: it.First, Last: it.Last}
	if it.Label != "" {
		l.Labels = []string{clipLabel(it.Label)}
	}
	return l
}

func clipLabel(s string) string { return s[:min(len(s), maxLabelSize)] }

// join adds o to l if it is the same loss going on, and reports whether it did.
func (l *LossInfo) join(o *LossInfo) bool {
	if l.Reason != o.Reason || l.Epoch != o.Epoch || l.To != o.From {
		return false
	}
	l.To = o.To
	l.Rows += o.Rows
	if o.First != 0 && (l.First == 0 || o.First < l.First) {
		l.First = o.First
	}
	if o.Last != 0 && (l.Last == 0 || o.Last > l.Last) {
		l.Last = o.Last
	}
	for _, label := range o.Labels {
		if i, found := slices.BinarySearch(l.Labels, label); !found && len(l.Labels) < maxLabels {
			l.Labels = slices.Insert(l.Labels, i, label)
		}
	}
	return true
}

// noteLossLocked adds a loss of some records to the open one of its reason, or opens
// one. With bury the positions are deleted from the files once the record is safe.
func (b *Buffer) noteLossLocked(l *LossInfo, records uint64, now time.Time, bury bool) {
	b.countLossLocked(l, records)
	b.noteCountedLossLocked(l, records, now, bury)
}

func (b *Buffer) noteCountedLossLocked(l *LossInfo, records uint64, now time.Time, bury bool) {
	open := b.losses[l.Reason]
	if open != nil && open.bury == bury && open.info.join(l) {
		open.records += records
		return
	}
	b.closeLossLocked(l.Reason, now)
	wait := b.o.Linger
	if l.Reason == ReasonOverflow {
		// While the buffer stays full, records that say so become rarer.
		b.lossWait = min(max(b.lossWait*2, lossWaitMin), lossWaitMax)
		wait = b.lossWait
	}
	b.losses[l.Reason] = &openLoss{info: *l, records: records, bury: bury, due: now.Add(wait)}
	b.wake()
}

func (b *Buffer) countLossLocked(l *LossInfo, records uint64) {
	b.lost.Records += records
	b.lost.Rows += l.Rows
	b.m.lost.WithLabelValues(l.Reason).Add(float64(records))
	b.m.lostRows.WithLabelValues(l.Reason).Add(float64(l.Rows))
}

// closeLossLocked makes the open loss of that reason, if there is one, a record.
func (b *Buffer) closeLossLocked(reason string, now time.Time) {
	open := b.losses[reason]
	if open == nil {
		return
	}
	delete(b.losses, reason)
	b.late.say(slog.LevelError, "readings are lost", "reason", reason, "records", open.records, "readings", open.info.Rows,
		"from_position", open.info.From, "to_position", open.info.To)
	e := lossEntry(&open.info, now, b.aheadLocked())
	if open.bury {
		e.bury = &open.info
	}
	b.x.enqueue(e, now, b.o.markStep())
	b.rememberLocked(e.key, &open.info)
	if b.x.show(b.x.current()) {
		b.signalChanged()
	}
	b.wake()
}

// closeDueLossesLocked closes the open losses that are due, or all.
func (b *Buffer) closeDueLossesLocked(now time.Time, all bool) {
	for _, reason := range []string{ReasonDamaged, ReasonOverflow} {
		if open := b.losses[reason]; open != nil && (all || !open.due.After(now)) {
			b.closeLossLocked(reason, now)
		}
	}
}

// lossEntry makes the record of a loss. It finds room always: there are few of them,
// and what they say must not be lost.
func lossEntry(l *LossInfo, now time.Time, ahead bool) *entry {
	return newEntry(&Item{Class: Loss, Data: appendLoss(nil, l), First: l.First, Last: l.Last}, now, ahead)
}
