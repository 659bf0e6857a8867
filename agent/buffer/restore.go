package buffer

import (
	"cmp"
	"crypto/rand"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
)

// maxUnsettled is how many epochs that hold nothing are kept in the chain.
const maxUnsettled = 64

// restore builds the chain from its file and from what the record files hold. It
// returns the links that differ from those in the chain file.
func (b *Buffer) restore(links []link, found []contents) (changed []link) {
	was := make(map[Epoch]link, len(links))
	for _, l := range links {
		was[l.id] = l
		b.x.addEpoch(newEpoch(l))
	}
	for _, c := range found {
		for e, n := range c.next {
			if c.held[e] == nil && b.x.byID[e] == nil {
				continue // forgotten long ago
			}
			ep := b.epochFor(e)
			ep.next = max(ep.next, n)
		}
		for e, h := range c.held {
			ep := b.epochFor(e)
			ep.held.AddSet(h.set)
			ep.next = max(ep.next, h.set.End())
			if h.oldest != 0 && !h.set.Empty() {
				ep.marks.list = append(ep.marks.list, mark{h.set.Ranges()[0].From, time.Unix(0, h.oldest)})
			}
		}
	}
	slices.SortStableFunc(b.x.epochs, func(a, c *epoch) int {
		return cmp.Or(cmp.Compare(a.seq, c.seq), slices.Compare(a.id[:], c.id[:]))
	})
	empty := 0
	for i := len(b.x.epochs) - 1; i >= 0; i-- {
		ep := b.x.epochs[i]
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

// begin makes a new epoch the current one, on disk first.
func (b *Buffer) begin(changed []link) error {
	l := b.newLink()
	if err := b.step("begin"); err != nil {
		return err
	}
	if err := b.chain.begin(l, changed, nil); err != nil {
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
	}
	return l
}
