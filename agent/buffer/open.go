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
		handles: &handles{options: bolt.Options{Timeout: time.Second, MaxSize: int(o.maxFileBytes())}, allocBytes: int(o.allocBytes())},
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
	found, losses, err := b.openFiles()
	if err != nil {
		return err
	}
	changed := b.restore(links, found)
	for _, m := range moves {
		b.resumeMove(m)
	}
	if err := b.begin(changed); err != nil {
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
// half made. It returns, oldest first, the epochs' records, and as losses what the
// damaged ones are known to have held.
func (b *Buffer) openFiles() (found []contents, losses []LossInfo, err error) {
	entries, err := os.ReadDir(b.o.Dir) // sorted by name: by time
	if err != nil {
		return nil, nil, err
	}
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
			losses = append(losses, b.lossesOf(name)...)
			if err := b.setAside(name, err); err != nil {
				return nil, nil, err
			}
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		f := &file{
			handle: &handle{path: b.path(name), readOnly: sealed}, name: name, sealed: sealed,
			holds: map[Epoch]*holding{}, size: c.size,
		}
		for e, h := range c.held {
			f.holds[e] = &holding{live: h.set.Clone(), tally: h.tally}
			b.x.used += f.holds[e].occupied()
		}
		b.x.files = append(b.x.files, f)
		found = append(found, c)
		for name, cur := range c.cursors {
			b.names[name] = true
			b.generation = max(b.generation, cur.generation)
			if cur.generation > b.cursors[name].generation {
				b.cursors[name] = cur
			}
		}
	}
	return found, losses, b.pickActive()
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

// lossesOf returns what a damaged file was noted to hold.
func (b *Buffer) lossesOf(name string) []LossInfo {
	held, err := b.chain.noted(name)
	if err != nil {
		b.log.Warn("cannot read what a damaged file held", "file", name, "error", err)
	}
	var out []LossInfo
	for e, set := range held {
		for _, r := range set.Ranges() {
			out = append(out, LossInfo{Epoch: e, From: r.From, To: r.To, Reason: ReasonDamaged})
		}
	}
	return out
}

// noteKnownLossLocked notes what a damaged file held, without what other files hold.
// Some of it may have been acknowledged: what is committed stays so.
func (b *Buffer) noteKnownLossLocked(l *LossInfo, now time.Time) {
	lost := ranges.Of(ranges.Range{From: l.From, To: l.To})
	if ep := b.x.byID[l.Epoch]; ep != nil {
		lost.RemoveSet(ep.held)
	}
	for _, r := range lost.Ranges() {
		part := *l
		part.From, part.To = r.From, r.To
		b.noteLossLocked(&part, r.To-r.From, now, false)
	}
}
