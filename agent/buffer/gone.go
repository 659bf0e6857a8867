package buffer

import (
	"slices"
	"time"

	"andon.internal/shared/ranges"
)

// toldLoss is a loss record of this process, which a database may lose again.
type toldLoss struct {
	at   Key
	info LossInfo
}

// maxRemembered bounds the loss records that are remembered.
const maxRemembered = 256

func (b *Buffer) rememberLocked(at Key, l *LossInfo) {
	if len(b.told) == maxRemembered {
		b.told = slices.Delete(b.told, 0, 1)
	}
	b.told = append(b.told, toldLoss{at, *l})
}

// renameToldLocked says that a loss record has another name now.
func (b *Buffer) renameToldLocked(from, to Key) {
	for i := range b.told {
		if b.told[i].at == from {
			b.told[i].at = to
			return
		}
	}
}

// Gone says that a database lacks positions of an epoch. Those that it had acknowledged to
// this process and that are not here any more become losses with [ReasonDatabase], each
// once; it returns how many these were. Of loss records among them, what they told is told
// again. What can be requeued is to be requeued before.
func (b *Buffer) Gone(e Epoch, lacks ranges.Set) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	ep := b.x.byID[e]
	if ep == nil || b.closed {
		return 0
	}
	gone := ep.acked.Intersect(lacks)
	gone.RemoveSet(ep.held)
	ep.acked.RemoveSet(gone)
	now := time.Now()
	for _, r := range gone.Ranges() {
		b.noteLossLocked(&LossInfo{Epoch: e, From: r.From, To: r.To, Reason: ReasonDatabase}, r.To-r.From, now, false)
	}
	var again []LossInfo
	b.told = slices.DeleteFunc(b.told, func(t toldLoss) bool {
		lost := t.at.Epoch == e && gone.Contains(t.at.Position)
		if lost {
			again = append(again, t.info)
		}
		return lost
	})
	for i := range again {
		b.closeLossLocked(again[i].Reason, now)
		b.noteCountedLossLocked(&again[i], again[i].To-again[i].From, now, false)
		b.closeLossLocked(again[i].Reason, now)
	}
	b.closeLossLocked(ReasonDatabase, now)
	return gone.Len()
}
