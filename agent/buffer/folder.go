package buffer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/shared/ranges"
)

// ErrNoBuffer is wrapped by OpenFolder where there is no buffer.
var ErrNoBuffer = errors.New("there is no buffer")

// ErrChanged is returned when a buffer was opened in the folder while it was read, so
// that what was read is not one picture.
var ErrChanged = errors.New("an agent has used the folder meanwhile")

// Folder is the folder of a buffer that no process has open, to be read. Nothing in it
// is made, changed, renamed or locked, so an agent may start at any time, and any number
// may read; reading is allowed to whoever may read the files. Its methods are not safe
// for concurrent use.
type Folder struct {
	dir  string
	txid uint64 // of the chain file when it was opened: every start of an agent changes it
}

// OpenFolder returns the folder. The error is ErrInUse where a process has the buffer
// open, and wraps ErrNoBuffer where there is none.
func OpenFolder(dir string) (*Folder, error) {
	f := &Folder{dir: dir}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s is not there", ErrNoBuffer, dir)
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%w: %s is not a folder", ErrNoBuffer, dir)
	}
	names, err := f.names()
	if err != nil {
		return nil, err
	}
	f.txid, err = f.look()
	if errors.Is(err, fs.ErrNotExist) && len(names.files)+len(names.aside) == 0 {
		return nil, fmt.Errorf("%w: %s has no files of one", ErrNoBuffer, dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return f, nil
}

// look returns the number of the chain file's last transaction, 0 where it does not read
// back, or ErrInUse. The lock that tells is held for that look alone: an agent that
// starts at this moment waits longer.
func (f *Folder) look() (uint64, error) {
	c, err := os.Open(filepath.Join(f.dir, chainFile))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := syscall.Flock(int(c.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return 0, ErrInUse
	} else if err != nil {
		return 0, fmt.Errorf("look at the lock of %s: %w", c.Name(), err)
	}
	m, err := format.ReadMeta(c)
	if err != nil {
		return 0, nil // told by Inventory
	}
	return m.Txid, nil
}

// unchanged returns ErrChanged when an agent has come since OpenFolder.
func (f *Folder) unchanged() error {
	txid, err := f.look()
	if errors.Is(err, ErrInUse) || err == nil && txid != f.txid {
		return ErrChanged
	}
	return nil
}

type folderNames struct{ files, aside []string } // by age

func (f *Folder) names() (n folderNames, err error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return n, err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.Contains(name, damagedMark):
			n.aside = append(n.aside, name)
		case name != chainFile && strings.HasSuffix(name, fileSuffix):
			n.files = append(n.files, name)
		}
	}
	return n, nil
}

// Records calls fn for every record in the files, file by file, oldest first, and for
// everything that does not read back. With aside it also reads the files that were set
// aside as damaged. A record may be in more than one file. It stops at fn's error and
// returns it.
func (f *Folder) Records(ctx context.Context, aside bool, fn func(Found) error) error {
	names, err := f.names()
	if err != nil {
		return err
	}
	list := names.files
	if aside {
		list = append(list, names.aside...)
	}
	for _, name := range list {
		w, err := format.OpenWalker(filepath.Join(f.dir, name))
		if errors.Is(err, errDamaged) {
			if err = fn(Found{File: name, Err: err}); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return errors.Join(err, f.unchanged())
		}
		err = recordsOf(w, name, func(r Found) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if r.Err != nil {
				if err := f.unchanged(); err != nil {
					return err
				}
			}
			return fn(r)
		})
		if err = errors.Join(err, w.Close()); err != nil {
			return err
		}
	}
	return f.unchanged()
}

// Verify reads everything: the trees of pages of each file, and every record. It calls
// fn for each record and for everything that does not read back.
func (f *Folder) Verify(ctx context.Context, fn func(Found) error) error {
	names, err := f.names()
	if err != nil {
		return err
	}
	for _, name := range append([]string{chainFile}, names.files...) {
		path := filepath.Join(f.dir, name)
		check := func() error { return format.CheckRecords(path, true) }
		if name == chainFile {
			check = func() error { return format.CheckTree(path) }
		}
		err := check()
		if err == nil {
			continue
		}
		if !errors.Is(err, errDamaged) && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, f.unchanged())
		}
		if err := f.unchanged(); err != nil {
			return err
		}
		if err := fn(Found{File: name, Err: err}); err != nil {
			return err
		}
	}
	return f.Records(ctx, false, fn)
}

// Inventory returns what the files hold. What an agent had been told to delete, and had
// no time to before it crashed, counts as held.
func (f *Folder) Inventory() (Inventory, error) {
	var inv Inventory
	names, err := f.names()
	if err != nil {
		return inv, err
	}
	s, faults := f.chain()
	inv.Faults = faults
	held, next := map[Epoch]ranges.Set{}, map[Epoch]uint64{}
	cursors := map[string]cursor{}
	for _, name := range names.files {
		info := f.file(name, held, next, cursors)
		info.Active = baseName(name) == s.state.active
		if errors.Is(info.Err, fs.ErrPermission) {
			return inv, info.Err
		}
		inv.Files = append(inv.Files, info)
	}
	inv.SetAside = sizesOf(f.dir, names.aside)
	inv.Epochs = epochsOf(s.links, held, next)
	for name, c := range cursors {
		if name == sparesCursor {
			continue
		}
		inv.Cursors = append(inv.Cursors, CursorInfo{Name: name, Generation: c.Generation, Bytes: len(c.Data), Lost: s.state.cursors[name].lostWith})
	}
	return inv, f.unchanged()
}

// file reads what one file holds, but for the records themselves.
func (f *Folder) file(name string, held map[Epoch]ranges.Set, next map[Epoch]uint64, cursors map[string]cursor) FileInfo {
	info := FileInfo{Name: name, Sealed: strings.HasSuffix(name, sealedSuffix)}
	path := filepath.Join(f.dir, name)
	if st, err := os.Stat(path); err == nil {
		info.Size = st.Size()
	}
	w, err := format.OpenWalker(path)
	if err != nil {
		info.Err = err
		return info
	}
	defer func() { _ = w.Close() }() // was only read
	bad := func(err error) { info.Err = errors.Join(info.Err, err) }
	for e := range w.Elements(format.RecordsBucket) {
		k, ok := format.ParseKey(e.Key)
		switch {
		case e.Err != nil:
			bad(e.Err)
		case !ok:
			bad(fmt.Errorf("%w: key %x", errDamaged, e.Key))
		default:
			set := held[k.Epoch]
			set.Add(k.Position, k.Position+1)
			held[k.Epoch] = set
			next[k.Epoch] = max(next[k.Epoch], k.Position+1)
			info.Live++
		}
	}
	for e := range w.Elements(format.EpochsBucket) {
		n, err := format.DecodeCount(e.Value)
		switch {
		case e.Err != nil:
			bad(e.Err)
		case err != nil || len(e.Key) != len(Epoch{}):
			bad(fmt.Errorf("%w: count of an epoch", errDamaged))
		default:
			info.Records, info.Rows, info.Bytes = info.Records+n.Records, info.Rows+n.Rows, info.Bytes+n.Bytes
			next[Epoch(e.Key)] = max(next[Epoch(e.Key)], n.Next)
		}
	}
	for e := range w.Elements(format.CursorsBucket) {
		c, err := format.DecodeCursor(e.Value)
		switch {
		case e.Err != nil:
			bad(e.Err)
		case err != nil:
			bad(err)
		case c.Generation > cursors[string(e.Key)].Generation:
			cursors[string(e.Key)] = c
		}
	}
	return info
}

func sizesOf(dir string, names []string) []FileInfo {
	var out []FileInfo
	for _, name := range names {
		info := FileInfo{Name: name, Sealed: true}
		if st, err := os.Stat(filepath.Join(dir, name)); err == nil {
			info.Size = st.Size()
		}
		out = append(out, info)
	}
	return out
}

// epochsOf joins what the chain file and the record files know of the epochs.
func epochsOf(links []link, held map[Epoch]ranges.Set, next map[Epoch]uint64) []EpochInfo {
	known := map[Epoch]bool{}
	var chained, others []EpochInfo
	for _, l := range links {
		known[l.id] = true
		set := held[l.id]
		end := max(l.next, set.End())
		if l.ended != EndClosed { // else the chain file knows: see restore
			end = max(end, next[l.id])
		}
		chained = append(chained, infoOf(l, set, end))
	}
	for e, set := range held {
		if !known[e] {
			others = append(others, infoOf(link{id: e, ended: EndUnclean}, set, next[e]))
		}
	}
	return append(others, chained...)
}

func infoOf(l link, held ranges.Set, next uint64) EpochInfo {
	if l.ended == EndOpen {
		l.ended = EndUnclean // nobody is there who could close it
	}
	info := EpochInfo{EpochState: EpochState{Epoch: l.id, Prev: l.prev, Ended: l.ended, Next: next, Held: held}, Boot: l.boot}
	if l.began != 0 {
		info.Began = time.Unix(0, l.began)
	}
	return info
}
