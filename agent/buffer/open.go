package buffer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"andon.internal/shared/ranges"
)

// Open opens the buffer in o.Dir and begins a new epoch, whose header is on disk
// before Open returns. A file that does not open is set aside as
// NAME.damaged-TIME, what is known of it becomes a loss record, and Open goes on.
// It returns ErrInUse when another process has the folder open.
func Open(o Options) (*Buffer, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Buffer{
		o: o, log: o.Logger, m: o.Metrics, x: newIndex(), began: time.Now().UnixNano(),
		handles: &handles{options: bolt.Options{Timeout: time.Second, MaxSize: int(o.maxFileBytes())}, allocBytes: int(o.allocBytes()), syncDir: syncDir},
		changed: make(chan struct{}, 1), kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		cursors: map[string]cursor{}, names: map[string]bool{}, losses: map[string]*openLoss{}, space: make(chan struct{}),
	}
	if err := b.start(); err != nil {
		if b.chain != nil {
			err = errors.Join(err, b.handles.close(), b.chain.close())
		}
		return nil, fmt.Errorf("open buffer %s: %w", o.Dir, err)
	}
	b.m.attach(b.Stats)
	go b.run()
	return b, nil
}

func (b *Buffer) start() error {
	if err := os.MkdirAll(b.o.Dir, 0o700); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(b.o.Dir)); err != nil {
		return err
	}
	links, moves, err := b.openChain()
	if err != nil {
		return err
	}
	found, damaged, err := b.openFiles()
	if err != nil {
		return err
	}
	changed := b.restore(links, found, damaged)
	for _, m := range moves {
		b.resumeMove(m)
	}
	losses := b.lossesOf(damaged)
	relinked, unused := b.dropUnused()
	if err := b.begin(append(changed, relinked...), unused); err != nil {
		return err
	}
	now := time.Now()
	b.mu.Lock()
	for i := range losses {
		b.noteKnownLossLocked(&losses[i], now)
	}
	b.deadLocked(now)
	b.mu.Unlock()
	b.disk.Lock()
	defer b.disk.Unlock()
	if err := b.finishMoves(); err != nil {
		b.failed(err, nil) // the flusher tries again
	}
	return nil
}

// openChain opens the chain file; one that is damaged is set aside for a new one.
func (b *Buffer) openChain() ([]link, []*move, error) {
	for attempt := 0; ; attempt++ {
		c, err := openChain(b.o.Dir)
		if err == nil {
			var links []link
			var moves []*move
			if links, moves, err = c.load(); err == nil {
				b.chain = c
				return links, moves, nil
			}
			err = errors.Join(err, c.close())
		}
		if errors.Is(err, bolterrors.ErrTimeout) {
			return nil, nil, ErrInUse
		}
		if !errors.Is(err, errDamaged) || attempt > 0 {
			return nil, nil, err
		}
		if err := b.setAside(chainFile, err); err != nil {
			return nil, nil, err
		}
	}
}

// setAside renames a damaged file so that it is not opened again.
func (b *Buffer) setAside(name string, cause error) error {
	as := name + damagedSuffix(time.Now())
	b.log.Error("file is damaged and set aside", "file", name, "as", as, "error", cause)
	b.m.setAside.Inc()
	if err := os.Rename(b.path(name), b.path(as)); err != nil {
		return err
	}
	return syncDir(b.o.Dir)
}

// openFiles reads what the record files hold and removes what an earlier start left
// half made. It returns, oldest first, what is in them, and what is known of those that
// are damaged.
func (b *Buffer) openFiles() (found []contents, damaged []damagedContents, err error) {
	entries, err := os.ReadDir(b.o.Dir) // sorted by name: by time
	if err != nil {
		return nil, nil, err
	}
	state, err := b.chain.cursorState()
	if err != nil {
		b.log.Warn("cannot read which cursors there are", "error", err)
	}
	cursorsIn, good := map[string]map[string]cursor{}, map[string]bool{}
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case strings.HasSuffix(name, tmpSuffix):
			if err := os.Remove(b.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, nil, err
			}
			continue
		case name == chainFile || !strings.HasSuffix(name, fileSuffix):
			continue
		}
		sealed := strings.HasSuffix(name, sealedSuffix)
		o := b.handles.options
		o.ReadOnly = sealed
		c, err := scan(b.path(name), o)
		if errors.Is(err, errDamaged) {
			d := damagedContents{name: name, rescued: rescue(b.path(name))}
			var nerr error
			if d.noted, nerr = b.chain.noted(baseName(name)); nerr != nil {
				b.log.Warn("cannot read what a damaged file held", "file", name, "error", nerr)
			}
			damaged = append(damaged, d)
			cursorsIn[baseName(name)] = d.cursors
			if err := b.setAside(name, err); err != nil {
				return nil, nil, err
			}
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
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
		found = append(found, c)
		good[baseName(name)] = true
		for name, cur := range c.cursors {
			b.foundCursor(name, cur)
		}
	}
	if a := state.active; a != "" && !good[a] && cursorsIn[a] == nil {
		// It may have been set aside already, by a process that came no further.
		for _, entry := range entries {
			if base, _, ok := strings.Cut(entry.Name(), damagedMark); ok && baseName(base) == a {
				cursorsIn[a] = rescue(b.path(entry.Name())).cursors
			}
		}
	}
	b.lookForCursors(state, cursorsIn, good)
	return found, damaged, b.pickActive()
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

// damagedContents is what is known of a damaged file.
type damagedContents struct {
	name  string
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
