package buffer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/oklog/ulid/v2"

	"andon.internal/agent/buffer/internal/salvage"
	"andon.internal/shared/ranges"
)

var errForeign = errors.New("it is another buffer's file")

// damagedContents is what is known of a damaged file.
type damagedContents struct {
	name   string
	cause  error
	stays  error                // why it could not be salvaged, for lack of room or by a fault of the disk: the next start tries again
	noted  map[Epoch]ranges.Set // what it held when it was full; nil while it was written
	active bool                 // it is the file that was written, by the chain file
	salvage.Report
}

// others reports whether it is another buffer's file that only lies here. One in the place
// of a file that the chain file knows is not: what that held is gone.
func (d *damagedContents) others() bool {
	return errors.Is(d.cause, errForeign) && d.noted == nil && !d.active
}

// blind reports whether it is not known how far the file had come.
func (d *damagedContents) blind() bool {
	return !d.others() && d.noted == nil && (d.Counts == nil || d.Stale)
}

// inPlace is the file as long as it has its own name.
func (d *damagedContents) inPlace() brokenFile {
	if d.stays != nil {
		return brokenFile{d.name, fmt.Errorf("%w; it cannot be salvaged: %w", d.cause, d.stays)}
	}
	return brokenFile{d.name, d.cause}
}

// openDamaged salvages a damaged file: the records that read back go, under their own
// names, into a new file. The damaged one is set aside when Open is done.
func (b *Buffer) openDamaged(name string, cause error, inv *inventory) {
	b.log.Error("record file is damaged", "file", name, "error", cause)
	d := damagedContents{name: name, cause: cause, active: inv.active == "" || inv.active == baseName(name)}
	var err error
	if d.noted, err = b.chain.noted(baseName(name)); err != nil {
		b.log.Warn("cannot read what a damaged file held", "file", name, "error", err)
	}
	to := ulid.MustNew(ulid.Now(), rand.Reader).String() + fileSuffix
	if !errors.Is(cause, errForeign) {
		a := b.salvage(inv, &salvage.Request{Path: b.path(name), To: b.path(to + tmpSuffix), Owner: b.owner, Known: inv.known, Have: inv.held()})
		switch {
		case a.Foreign:
			d.cause = errForeign
		case a.Fault != "":
			d.stays = errors.New(a.Fault)
		default:
			b.adoptOwner(a.Owner)
			d.stays = b.adopt(to, inv)
			d.Report = a.Report
		}
	}
	inv.damaged = append(inv.damaged, d)
	if !d.others() {
		inv.cursors[baseName(name)] = d.AllCursors()
	}
	if d.stays != nil {
		b.log.Error("a damaged file cannot be salvaged: the next start tries again", "file", name, "error", d.stays)
	}
}

func (b *Buffer) salvage(inv *inventory, q *salvage.Request) salvage.Answer {
	if err := b.step("salvage"); err != nil {
		return salvage.Answer{Fault: err.Error()}
	}
	return inv.asker.Ask(q)
}

// adoptOwner takes the id that a file of this buffer has, where the chain file is new.
func (b *Buffer) adoptOwner(owner [16]byte) {
	if b.owner == ([16]byte{}) {
		b.owner = owner
	}
}

// adopt takes a file into the index that a salvage has finished. Where it cannot, the file
// goes: the next start makes it anew.
func (b *Buffer) adopt(name string, inv *inventory) error {
	err := b.step("adopt")
	if err == nil {
		err = os.Rename(b.path(name+tmpSuffix), b.path(name))
	}
	if err == nil {
		err = syncDir(b.o.Dir)
	}
	if err == nil {
		was := inv.unclean
		inv.unclean = false // it was made just now
		err = b.takeIn(name, inv)
		inv.unclean = was
	}
	if err != nil {
		_ = os.Remove(b.path(name + tmpSuffix)) // the next start removes it too
		_ = os.Remove(b.path(name))             // where it stays it is a sound file, or one more that is damaged
	}
	return wrap("use what was saved", err)
}

// own makes sure that the buffer has an id, and that the chain file knows it.
func (b *Buffer) own(noted [16]byte) {
	if b.owner == ([16]byte{}) {
		b.owner = [16]byte(ulid.MustNew(ulid.Now(), rand.Reader))
	}
	if b.owner != noted {
		b.chainFailed(b.chain.own(b.owner))
	}
}

// knownLoss is positions of which some, at most records, are lost.
type knownLoss struct {
	epoch   Epoch
	set     ranges.Set
	records uint64
}

// lossesOf returns what damaged files are known to have held, and was not salvaged. Of
// one that was being written and of which not even the counts can be read that is every
// position known of every epoch: what is committed stays committed, and nothing of the
// rest will come.
func (b *Buffer) lossesOf(damaged []damagedContents) (out []knownLoss) {
	add := func(e Epoch, set ranges.Set, records uint64) {
		if !set.Empty() && records > 0 {
			out = append(out, knownLoss{e, set, records})
		}
	}
	for i := range damaged {
		switch d := &damaged[i]; {
		case d.stays != nil, d.others():
		case d.noted != nil && (d.Stale || d.Counts == nil):
			for e, set := range d.noted {
				add(e, set, set.Len())
			}
		case d.Counts != nil:
			for e := range d.Counts {
				set, records := d.Lost(e)
				add(e, set, records)
			}
			if d.Stale {
				b.addUnknown(d, add)
			}
		default:
			for _, ep := range b.x.epochs {
				add(ep.id, ranges.Of(ranges.Range{To: ep.next}), ep.next)
			}
		}
	}
	return out
}

// overtaken is about how many positions are assigned and not written while a later one is: a
// transaction takes alarms before other records, and no more than fits it.
const overtaken = 512

// addUnknown adds what may have come into a file after what is known of it: positions of
// its epochs, and of those after them, from where each then was. Of the latest that it knows
// this begins with those that may have waited then. Others have been saved of them, are in
// other files or were acknowledged, but for what was lost.
func (b *Buffer) addUnknown(d *damagedContents, add func(e Epoch, set ranges.Set, records uint64)) {
	began, latest := false, Epoch{}
	for _, ep := range b.x.epochs {
		if _, ok := d.Counts[ep.id]; ok {
			latest = ep.id
		}
	}
	for _, ep := range b.x.epochs {
		n, ok := d.Counts[ep.id]
		if began = began || ok; !began {
			continue
		}
		from := n.Next
		if ep.id == latest {
			from -= min(from, overtaken)
		}
		set := ranges.Of(ranges.Range{From: from, To: ep.next})
		set.RemoveSet(salvage.SetOf(d.Saved[ep.id]))
		if ok {
			known, _ := d.Lost(ep.id) // are added
			set.RemoveSet(known)
		}
		add(ep.id, set, set.Len())
	}
}

// noteKnownLossLocked notes what a damaged file held, without what other files hold.
// Some of it may have been acknowledged: what is committed stays so.
func (b *Buffer) noteKnownLossLocked(l *knownLoss, now time.Time) {
	lost := l.set
	if ep := b.x.byID[l.epoch]; ep != nil {
		lost.RemoveSet(ep.held)
	}
	for _, f := range b.x.files {
		if h := f.holds[l.epoch]; h != nil {
			lost.RemoveSet(h.live) // also what waits to be moved, and so is not held
		}
	}
	for _, m := range b.moves {
		if m.to == l.epoch {
			lost.Remove(0, m.set.Len()) // is still to come; the collector closes what does not
		}
	}
	for _, r := range lost.Ranges() {
		part := LossInfo{Epoch: l.epoch, From: r.From, To: r.To, Reason: ReasonDamaged}
		n := min(r.To-r.From, l.records)
		l.records -= n
		b.noteLossLocked(&part, n, now, false)
	}
}
