package buffer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// inventory is what a start finds in the folder.
type inventory struct {
	found   []contents        // of the sound files, oldest first
	damaged []damagedContents // what is known of the others, which are set aside
	good    map[string]bool   // the sound ones by their base names

	// cursors are those that still could be read in a damaged file, by its base name; nil
	// where that is not all that there were.
	cursors map[string]map[string]cursor
}

// openFiles reads what the record files hold and removes what an earlier start left
// half made.
func (b *Buffer) openFiles() (inventory, error) {
	inv := inventory{good: map[string]bool{}, cursors: map[string]map[string]cursor{}}
	entries, err := os.ReadDir(b.o.Dir) // sorted by name: by time
	if err != nil {
		return inv, err
	}
	state, err := b.chain.cursorState()
	if err != nil {
		b.log.Warn("cannot read which cursors there are", "error", err)
	}
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
	if a := state.active; a != "" && !inv.good[a] && inv.cursors[a] == nil {
		// It may have been set aside already, by a process that came no further.
		for _, entry := range entries {
			if base, _, ok := strings.Cut(entry.Name(), damagedMark); ok && baseName(base) == a {
				inv.cursors[a] = rescue(b.path(entry.Name())).cursors
			}
		}
	}
	b.lookForCursors(state, inv.cursors, inv.good)
	return inv, b.pickActive()
}

// openFile takes a record file into the index, or sets it aside.
func (b *Buffer) openFile(name string, inv *inventory) error {
	sealed := strings.HasSuffix(name, sealedSuffix)
	o := b.handles.options
	o.ReadOnly = sealed
	c, err := scan(b.path(name), o)
	if errors.Is(err, errDamaged) {
		return b.openDamaged(name, err, inv)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f := &file{
		handle: &handle{path: b.path(name), readOnly: sealed}, name: baseName(name) + fileSuffix, sealed: sealed,
		holds: map[Epoch]*holding{}, size: c.size,
	}
	for e, h := range c.held {
		f.holds[e] = &holding{live: h.set.Clone(), tally: h.tally}
		b.x.used += f.holds[e].occupied()
	}
	b.x.files = append(b.x.files, f)
	inv.found = append(inv.found, c)
	inv.good[baseName(name)] = true
	for name, cur := range c.cursors {
		b.foundCursor(name, cur)
	}
	return nil
}

// openDamaged reads what it can of a damaged file and sets it aside.
func (b *Buffer) openDamaged(name string, cause error, inv *inventory) error {
	d := damagedContents{rescued: rescue(b.path(name))}
	var err error
	if d.noted, err = b.chain.noted(baseName(name)); err != nil {
		b.log.Warn("cannot read what a damaged file held", "file", name, "error", err)
	}
	inv.damaged = append(inv.damaged, d)
	inv.cursors[baseName(name)] = d.cursors
	return b.setAside(name, cause)
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
