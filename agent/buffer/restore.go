package buffer

import (
	"cmp"
	"crypto/rand"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/shared/broken"
)

const (
	maxUnused    = 64   // epochs in the chain that never assigned a position
	maxUnsettled = 1024 // epochs that hold nothing and have not been settled
)

// restore builds the chain from its file and from what the record files hold, and takes up
// the moves that a crash cut off. It returns the links that differ from those in the chain file.
//
// Where an epoch ended in order, the chain file knows: the counts in the files say where a
// move found it, and what that took away came under other names.
//
// An epoch that ended in a crash, of whose positions the highest was known only to a
// damaged file, is told to end where it can have ended at the latest. So each position
// that was on disk is told lost, and up to noteAhead that were never assigned are told
// lost too: nothing will come of those either, and a silent loss would be worse.
func (b *Buffer) restore(links []link, moves []*move, found []format.Contents, damaged []damagedContents) (changed []link) {
	was := make(map[Epoch]link, len(links))
	for _, l := range links {
		was[l.id] = l
		b.x.addEpoch(newEpoch(l))
	}
	b.raiseNext(damaged)
	for _, c := range found {
		for e, n := range c.Next {
			if c.Held[e] == nil && b.x.byID[e] == nil {
				continue // forgotten long ago
			}
			b.epochFor(e).raise(n)
		}
		for e, h := range c.Held {
			ep := b.epochFor(e)
			ep.held.AddSet(h.Set)
			if h.Oldest != 0 && !h.Set.Empty() {
				ep.marks.list = append(ep.marks.list, mark{h.Set.Ranges()[0].From, time.Unix(0, h.Oldest)})
			}
		}
	}
	for _, m := range moves {
		b.resumeMove(m)
	}
	slices.SortStableFunc(b.x.epochs, func(a, c *epoch) int {
		return cmp.Or(cmp.Compare(a.seq, c.seq), slices.Compare(a.id[:], c.id[:]))
	})
	empty := 0
	for i := len(b.x.epochs) - 1; i >= 0; i-- {
		ep := b.x.epochs[i]
		ep.next = max(ep.next, ep.held.End())
		if ep.ended == EndOpen {
			ep.ended = EndUnclean
		}
		if len(links) == 0 {
			ep.seq = uint64(i) + 1 // the chain file is new
		}
		if ep.seq != 0 && was[ep.id] != ep.link {
			changed = append(changed, ep.link)
		}
		slices.SortFunc(ep.marks.list, func(a, c mark) int { return cmp.Compare(a.position, c.position) })
		if ep.held.Empty() {
			if empty++; empty > maxUnsettled {
				ep.settled = true
			}
		}
	}
	return changed
}

// raiseNext brings the ends of the epochs up to what damaged files tell of them; where
// one tells nothing, the open epoch's to where it can have been at the latest.
func (b *Buffer) raiseNext(damaged []damagedContents) {
	blind := false
	for i := range damaged {
		blind = blind || damaged[i].blind()
		for e, n := range damaged[i].Counts {
			if ep := b.x.byID[e]; ep != nil {
				ep.raise(n.Next)
			}
		}
	}
	for _, ep := range b.x.epochs {
		if blind && ep.ended == EndOpen && ep.next > 0 {
			b.log.Error("how many positions were assigned before the crash is not known",
				"at_least", ep.next, "at_most", ep.next+noteAhead)
			ep.next += noteAhead
		}
	}
}

// raise says that positions below next were assigned. How far they go in an epoch that ended in
// order is known.
func (ep *epoch) raise(next uint64) {
	if ep.ended != EndClosed {
		ep.next = max(ep.next, next)
	}
}

// epochFor returns an epoch of which a file has records; one that the chain does not
// know, because its file was damaged, comes first in it.
func (b *Buffer) epochFor(e Epoch) *epoch {
	ep := b.x.byID[e]
	if ep == nil {
		ep = newEpoch(link{id: e, ended: EndUnclean})
		b.x.addEpoch(ep)
	}
	return ep
}

// dropUnused takes the oldest of too many epochs that never assigned a position out of
// the chain: nobody can know them. Epochs that did are kept, because what the database
// has of them may be all that it knows of this chain. It returns the links of those
// that followed the dropped ones, and the places of these.
func (b *Buffer) dropUnused() (relinked []link, seqs []uint64) {
	unused := func(ep *epoch) bool {
		return ep.next == 0 && ep.seq != 0 && ep.held.Empty() &&
			!slices.ContainsFunc(b.moves, func(m *move) bool { return m.from == ep.id || m.to == ep.id })
	}
	n := -maxUnused
	for _, ep := range b.x.epochs {
		if unused(ep) {
			n++
		}
	}
	prev := map[Epoch]Epoch{} // of those that are dropped
	b.x.epochs = slices.DeleteFunc(b.x.epochs, func(ep *epoch) bool {
		p, relink := prev[ep.prev]
		if relink {
			ep.prev = p
		}
		drop := n > 0 && unused(ep)
		switch {
		case drop:
			n--
			prev[ep.id] = ep.prev
			seqs = append(seqs, ep.seq)
			delete(b.x.byID, ep.id)
		case relink:
			relinked = append(relinked, ep.link)
		}
		return drop
	})
	return relinked, seqs
}

// begin makes a new epoch the current one, on disk first.
func (b *Buffer) begin(changed []link, unused []uint64) error {
	l := b.newLink()
	if err := b.step("begin"); err != nil {
		return err
	}
	if err := b.chain.begin(l, changed, unused, nil); err != nil {
		return err
	}
	b.x.addEpoch(newEpoch(l))
	return nil
}

// newLink returns a link behind the last one.
func (b *Buffer) newLink() link {
	l := link{seq: 1, id: Epoch(ulid.MustNew(ulid.Now(), rand.Reader)), boot: b.o.BootID, began: time.Now().UnixNano()}
	for _, ep := range b.x.epochs {
		l.prev, l.seq = ep.id, max(l.seq, ep.seq+1)
		if broken.Is(broken.ReusedPositions) {
			l.id = ep.id
		}
	}
	return l
}
