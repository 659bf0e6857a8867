package buffer

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/agent/buffer/internal/salvage"
	"andon.internal/shared/ranges"
)

// inventory is what a start finds in the folder.
type inventory struct {
	found   []format.Contents // of the sound files, oldest first
	broken  []brokenFile      // the others
	damaged []damagedContents // what is known of these, which are set aside
	good    map[string]bool   // the sound ones by their base names

	known   []Epoch // by the chain file
	active  string  // by the chain file; empty when that is not known
	unclean bool    // the last process did not close the buffer

	asker salvage.Asker // has files looked at

	// cursors are those that still could be read in a damaged file, by its base name; nil
	// where that is not all that there were.
	cursors map[string]map[string]cursor
}

// brokenFile is a file that cannot be used as it is.
type brokenFile struct {
	name  string
	cause error
}

// childrenLimit is how long all children of a start may take together, about: the line waits.
const childrenLimit = 2 * time.Minute

// openFiles reads what the record files hold and removes what an earlier start left
// half made.
func (b *Buffer) openFiles(links []link) (inventory, error) {
	inv := inventory{
		good: map[string]bool{}, cursors: map[string]map[string]cursor{},
		asker: salvage.Asker{Command: b.o.Child, Limit: b.o.childLimit, Until: time.Now().Add(cmp.Or(b.o.childrenLimit, childrenLimit)), Log: b.log},
	}
	entries, err := os.ReadDir(b.o.Dir) // sorted by name: by time
	if err != nil {
		return inv, err
	}
	state, err := b.chain.cursorState()
	if err != nil {
		b.log.Warn("cannot read which cursors there are", "error", err)
	}
	b.owner, inv.active = state.owner, state.active
	for _, l := range links {
		inv.known = append(inv.known, l.id)
	}
	inv.unclean = len(links) == 0 || links[len(links)-1].ended == EndOpen
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case strings.HasSuffix(name, tmpSuffix):
			if err := os.Remove(b.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return inv, err
			}
		case name != chainFile && strings.HasSuffix(name, fileSuffix):
			if err := b.openFile(name, &inv); err != nil {
				return inv, err
			}
		}
	}
	for _, f := range inv.broken { // behind the sound ones: what these have is not saved again
		b.openDamaged(f.name, f.cause, &inv)
	}
	if a := state.active; a != "" && !inv.good[a] && inv.cursors[a] == nil {
		// It may have been set aside already, by a process that came no further.
		for _, entry := range entries {
			if base, _, ok := strings.Cut(entry.Name(), damagedMark); ok && baseName(base) == a {
				found := salvage.Run(&salvage.Request{Path: b.path(entry.Name()), Owner: b.owner, Known: inv.known})
				b.adoptOwner(found.Owner)
				inv.cursors[a] = found.Report.AllCursors()
			}
		}
	}
	b.lookForCursors(state, inv.cursors, inv.good)
	b.own(state.owner)
	return inv, b.pickActive()
}

// openFile takes a record file into the index, or notes that it is damaged.
func (b *Buffer) openFile(name string, inv *inventory) error {
	err := b.takeIn(name, inv)
	if errors.Is(err, errDamaged) || errors.Is(err, errForeign) {
		inv.broken = append(inv.broken, brokenFile{name, err})
		return nil
	}
	return wrap(name, err)
}

// takeIn takes a record file into the index. The error wraps errDamaged or errForeign where
// the file is at fault.
func (b *Buffer) takeIn(name string, inv *inventory) error {
	if inv.unclean {
		if a := inv.asker.Ask(&salvage.Request{Path: b.path(name)}); a.Damage != "" {
			return fmt.Errorf("%w: %s", errDamaged, a.Damage)
		}
	}
	sealed := strings.HasSuffix(name, sealedSuffix)
	o := b.handles.options
	o.ReadOnly = sealed
	c, err := format.Scan(b.path(name), o)
	if err != nil {
		return err
	}
	if c.Owned {
		b.adoptOwner(c.Owner)
		if c.Owner != b.owner {
			return errForeign
		}
	}
	f := &file{
		handle: &handle{path: b.path(name), readOnly: sealed}, name: baseName(name) + fileSuffix, sealed: sealed,
		holds: map[Epoch]*holding{}, size: c.Size,
	}
	for e, h := range c.Held {
		f.holds[e] = &holding{live: h.Set.Clone(), tally: h.Tally}
		b.x.used += f.holds[e].occupied()
	}
	b.x.files = append(b.x.files, f)
	inv.found = append(inv.found, c)
	inv.good[baseName(name)] = true
	for name, cur := range c.Cursors {
		b.foundCursor(name, cur)
	}
	return nil
}

// held returns what the sound files have, as text.
func (inv *inventory) held() map[Epoch]string {
	sets := map[Epoch]*ranges.Set{}
	for i := range inv.found {
		for e, h := range inv.found[i].Held {
			if sets[e] == nil {
				sets[e] = &ranges.Set{}
			}
			sets[e].AddSet(h.Set)
		}
	}
	return salvage.Texts(sets)
}

// pickActive goes on with the newest file, if it may be written.
func (b *Buffer) pickActive() error {
	if len(b.x.files) == 0 {
		return nil
	}
	f := b.x.files[len(b.x.files)-1]
	if f.sealed || !b.hasRoom(f) {
		return nil
	}
	if _, err := b.handles.acquire(f.handle); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	b.active = f
	return nil
}
