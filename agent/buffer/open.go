package buffer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"
)

// Open opens the buffer in o.Dir and begins a new epoch, whose header is on disk
// before Open returns. A file that is damaged is set aside as NAME.damaged-TIME: what
// reads back goes to a new file, the rest becomes loss records, and Open goes on.
// It returns ErrInUse when another process has the folder open.
func Open(o Options) (*Buffer, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	b := newBuffer(o)
	if err := b.open(); err != nil {
		b.late.wait()
		return nil, fmt.Errorf("open buffer %s: %w", o.Dir, err)
	}
	b.m.attach(b)
	go b.run()
	return b, nil
}

// newBuffer returns a buffer of checked options that is not open.
func newBuffer(o Options) *Buffer {
	return &Buffer{
		o: o, log: o.Logger, late: &lateLog{to: o.Logger.Handler(), dropped: o.Metrics.unlogged}, m: o.Metrics, x: newIndex(), began: time.Now().UnixNano(),
		handles: &handles{options: o.files(), syncDir: syncDir},
		changed: make(chan struct{}, 1), kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		cursors: map[string]cursor{}, names: map[string]bool{}, losses: map[string]*openLoss{}, space: make(chan struct{}),
	}
}

// open opens the folder. On an error everything is closed again.
func (b *Buffer) open() error {
	err := b.start()
	if noSpace(err) && b.chain == nil && b.dropBallast() {
		err = b.start() // once more, with what that gave back
	}
	if err != nil && b.chain != nil {
		err = errors.Join(err, b.handles.close(), b.chain.close())
	}
	return err
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
	inv, err := b.openFiles(links)
	if err != nil {
		return err
	}
	changed := b.restore(links, moves, inv.found, inv.damaged)
	b.restoreSpares()
	losses := b.lossesOf(inv.damaged)
	relinked, unused := b.dropUnused()
	changed = append(changed, relinked...)
	err = b.begin(changed, unused)
	if noSpace(err) && b.dropBallast() {
		err = b.begin(changed, unused)
	}
	if err != nil {
		return err
	}
	now := time.Now()
	b.mu.Lock()
	for i := range losses {
		b.noteKnownLossLocked(&losses[i], now)
	}
	b.deadLocked(now)
	b.spaceDue = now // for the ballast
	for i := range inv.damaged {
		b.inPlace = append(b.inPlace, inv.damaged[i].inPlace())
	}
	b.mu.Unlock()
	b.disk.Lock()
	defer b.disk.Unlock()
	if err := b.finishMoves(); err != nil {
		b.failed(err) // the flusher tries again
		return nil
	}
	return b.finishDamaged(inv.damaged)
}

// finishDamaged sets damaged files aside once what they lost is on disk; where it cannot
// be written yet, the next start finds the files again.
func (b *Buffer) finishDamaged(damaged []damagedContents) error {
	if len(damaged) == 0 {
		return nil
	}
	if err := b.flush(true); err != nil {
		return nil // noted and logged by flush
	}
	var inPlace []brokenFile
	for i := range damaged {
		d := &damaged[i]
		if d.stays == nil {
			err := b.setAside(d.name, d.cause)
			if err == nil {
				continue
			}
			b.log.Warn("cannot set a damaged file aside: the next start tries again", "file", d.name, "error", err)
			d.cause = fmt.Errorf("%w; it cannot be set aside: %w", d.cause, err)
		}
		inPlace = append(inPlace, d.inPlace())
	}
	b.mu.Lock()
	b.inPlace = inPlace
	b.mu.Unlock()
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
	if err := b.step("aside"); err != nil {
		return err
	}
	if err := os.Rename(b.path(name), b.path(as)); err != nil {
		return err
	}
	return syncDir(b.o.Dir)
}
