package buffer

import (
	"time"

	"andon.internal/shared/ranges"
)

// damagedContents is what is known of a damaged file.
type damagedContents struct {
	noted map[Epoch]ranges.Set // what it held when it was full; nil while it was written
	rescued
}

// blind reports whether nothing is known of what the file held.
func (d *damagedContents) blind() bool { return d.noted == nil && d.counts == nil }

// knownLoss is positions of which some, at most records, are lost.
type knownLoss struct {
	LossInfo
	records uint64
}

// lossesOf returns what damaged files are known to have held. Of one that was being
// written and of which not even the counts can be read that is every position known of
// every epoch: what is committed stays committed, and nothing of the rest will come.
func (b *Buffer) lossesOf(damaged []damagedContents) []knownLoss {
	var out []knownLoss
	add := func(e Epoch, r ranges.Range, records uint64) {
		if r.From < r.To {
			out = append(out, knownLoss{LossInfo{Epoch: e, From: r.From, To: r.To, Reason: ReasonDamaged}, records})
		}
	}
	for i := range damaged {
		d := &damaged[i]
		sets := d.noted
		if sets == nil {
			sets = d.held
		}
		switch {
		case sets != nil:
			for e, set := range sets {
				for _, r := range set.Ranges() {
					add(e, r, r.To-r.From)
				}
			}
		case d.counts != nil:
			for e, n := range d.counts {
				if n.records > 0 {
					add(e, ranges.Range{To: n.next}, n.records)
				}
			}
		default:
			for _, ep := range b.x.epochs {
				add(ep.id, ranges.Range{To: ep.next}, ep.next)
			}
		}
	}
	return out
}

// noteKnownLossLocked notes what a damaged file held, without what other files hold.
// Some of it may have been acknowledged: what is committed stays so.
func (b *Buffer) noteKnownLossLocked(l *knownLoss, now time.Time) {
	lost := ranges.Of(ranges.Range{From: l.From, To: l.To})
	if ep := b.x.byID[l.Epoch]; ep != nil {
		lost.RemoveSet(ep.held)
	}
	for _, f := range b.x.files {
		if h := f.holds[l.Epoch]; h != nil {
			lost.RemoveSet(h.live) // also what waits to be moved, and so is not held
		}
	}
	for _, m := range b.moves {
		if m.to == l.Epoch {
			lost.Remove(0, m.set.Len()) // is still to come; the collector closes what does not
		}
	}
	for _, r := range lost.Ranges() {
		part := l.LossInfo
		part.From, part.To = r.From, r.To
		n := min(r.To-r.From, l.records)
		l.records -= n
		b.noteLossLocked(&part, n, now, false)
	}
}
