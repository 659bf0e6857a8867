package buffer

import (
	"time"

	"andon.internal/shared/ranges"
)

// Gone says that a database lacks positions of an epoch. Those that it had acknowledged to
// this process and that are not here any more become losses with [ReasonDatabase], each
// once; it returns how many these were. What can be requeued is to be requeued before.
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
	b.closeLossLocked(ReasonDatabase, now)
	return gone.Len()
}
