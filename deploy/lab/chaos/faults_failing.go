package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"andon.internal/lab/flakyfs"
)

// deadDisk has the disk of a cell that runs fail for good, and pulls its cable, so that it
// has something to write. The cell goes on from memory. The cure is what a person does: end
// it, another disk (here: the same one, mounted anew), start it.
func deadDisk(ctx context.Context, r *rig, target string) (cure, error) {
	d := r.w.hosts[target].disk
	kept, err := r.keepsPace(ctx, target)
	if err != nil {
		return nil, err
	}
	mend := func(ctx context.Context) error {
		r.tells(ctx, target, "write to disk")
		if err := errors.Join(kept(ctx), r.carrier(ctx, target, "up"), r.quiet(target, func() error {
			if target == dynoCell {
				defer r.journal.crashed(0)
			}
			return errors.Join(r.f.Stop(target), d.Detach(ctx), d.Attach(ctx))
		})); err != nil {
			return err
		}
		return r.start(ctx, target)
	}
	if err := errors.Join(r.carrier(ctx, target, "down"), d.PowerOff()); err != nil {
		return mend, err
	}
	if err := os.WriteFile(filepath.Join(d.Mount, "probe"), nil, 0o600); !errors.Is(err, unix.EIO) {
		return mend, fmt.Errorf("the disk of %s is not dead: a write ends with %w", target, err)
	}
	return mend, nil
}

// failingSync puts a file system under a cell whose syncs fail until the cure, while its
// cable is pulled, so that it has something to write. It must take the disk up again by
// itself, and is then ended in order.
func failingSync(ctx context.Context, r *rig, target string) (cure, error) {
	return r.failSyncs(ctx, target, func() error { return r.f.Stop(target) })
}

// failingSyncKill is failingSync, but for the end, which is a crash: what was written since
// must be there.
func failingSyncKill(ctx context.Context, r *rig, target string) (cure, error) {
	return r.failSyncs(ctx, target, func() error {
		if target == dynoCell {
			defer r.journal.crashed(0)
		}
		return r.f.Kill(target)
	})
}

func (r *rig) failSyncs(ctx context.Context, target string, end func() error) (cure, error) {
	f, off, err := r.underlay(ctx, target, end)
	if err != nil {
		return off, err
	}
	if err := r.answers(ctx, target); err != nil {
		return off, err
	}
	kept, err := r.keepsPace(ctx, target)
	if err != nil {
		return off, err
	}
	mend := func(ctx context.Context) error {
		r.tells(ctx, target, "write to disk")
		failed := f.Failed()
		f.Break(false)
		synced := f.Synced()
		r.say("%d syncs of %s have failed", failed, target)
		if failed == 0 {
			r.accuse("no sync of %s has failed", target)
		}
		if !until(ctx, takesUp, func() bool { return f.Synced() > synced }) {
			r.accuse("%s does not write again within %v", target, takesUp)
		}
		return errors.Join(kept(ctx), r.carrier(ctx, target, "up"), off(ctx))
	}
	if err := r.carrier(ctx, target, "down"); err != nil {
		return mend, err
	}
	f.Break(true)
	return mend, nil
}

// takesUp is how long a cell may take until it tries a disk that failed once more.
const takesUp = 15 * time.Second

// underlay ends a cell in order, puts a flaky file system under it, and starts it. The
// cure ends it, takes the file system away, and starts it again.
func (r *rig) underlay(ctx context.Context, target string, end func() error) (f *flakyfs.FS, off cure, err error) {
	at, under := r.data(target), r.data(target)+".under"
	err = r.quiet(target, func() error {
		if err := errors.Join(r.f.Stop(target), os.Rename(at, under), os.Mkdir(at, 0o700)); err != nil {
			return err
		}
		if err := flush(ctx, filepath.Dir(at)); err != nil {
			return err
		}
		f, err = flakyfs.Mount(under, at)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return f, func(ctx context.Context) error {
		err := r.quiet(target, func() error {
			return errors.Join(end(), f.Unmount(), os.Remove(at), os.Rename(under, at), flush(ctx, filepath.Dir(at)))
		})
		if err != nil {
			return err
		}
		return r.start(ctx, target)
	}, r.start(ctx, target)
}

// flush has a file system write what the rig did there: a power cut that comes soon is to take
// what the cell did, and not that.
func flush(ctx context.Context, dir string) error { return run(ctx, "sync", "-f", dir) }

// quiet does something to the files of a cell that nobody else may have open meanwhile.
func (r *rig) quiet(cell string, do func() error) error {
	if cell == dynoCell {
		r.asking.Lock()
		defer r.asking.Unlock()
	}
	return do()
}

// answers waits until a cell that was started answers.
func (r *rig) answers(ctx context.Context, cell string) error {
	var err error
	if !until(ctx, patience, func() bool {
		var s *fill
		s, err = r.status(ctx, cell)
		return err == nil && s.Running
	}) {
		return fmt.Errorf("%s does not run within %v: %w", cell, patience, err)
	}
	return nil
}

// tells accuses a cell that does not name a trouble.
func (r *rig) tells(ctx context.Context, cell, trouble string) {
	s, err := r.status(ctx, cell)
	switch {
	case err != nil:
		r.accuse("%s, which should tell %q: %v", cell, trouble, err)
	case !strings.Contains(strings.Join(s.Troubles, "\n"), trouble):
		r.accuse("%s does not tell %q, but %q", cell, trouble, s.Troubles)
	}
}

// until asks again and again for some time, and reports whether it was true.
func until(ctx context.Context, limit time.Duration, ok func() bool) bool {
	for end := time.Now().Add(limit); !ok(); {
		if ctx.Err() != nil || time.Now().After(end) {
			return false
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	return true
}
