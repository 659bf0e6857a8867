package buffer

import "time"

// Before returns the name of the last record that was surely appended before t by this
// epoch, for [Buffer.Next] to look behind; how closely is as for live records. It need not be
// held any more. ok is false where there is none.
func (b *Buffer) Before(t time.Time) (k Key, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ep := b.x.current()
	from := min(ep.marks.since(t, b.o.markStep()), ep.next)
	if from == 0 {
		return Key{}, false
	}
	return Key{Epoch: ep.id, Position: from - 1}, true
}
