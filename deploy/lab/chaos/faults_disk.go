package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"andon.internal/lab/factory"
)

func cellFull(_ context.Context, r *rig, target string) (cure, error) {
	free, err := r.w.hosts[target].disk.Fill()
	if err != nil {
		return nil, err
	}
	return func(context.Context) error { return free() }, nil
}

func databaseFull(_ context.Context, r *rig, target string) (cure, error) {
	free, err := r.w.hosts[target].disk.Fill()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := free(); err != nil {
			return err
		}
		return r.start(ctx, target) // it may have given up
	}, nil
}

// powerOff takes the power of a machine: its disk forgets what was not synced, and its
// process is gone.
func powerOff(ctx context.Context, r *rig, target string) (cure, error) {
	d := r.w.hosts[target].disk
	if target == dynoCell {
		r.asking.Lock()
		defer r.asking.Unlock()
		defer r.crashed()
	}
	if err := d.PowerOff(); err != nil {
		return nil, err
	}
	// A process that met the dead disk may be ending by itself.
	if err := r.f.Kill(target); err != nil && r.f.PID(target) != 0 {
		return nil, err
	}
	if err := d.Detach(ctx); err != nil {
		return nil, err
	}
	if err := d.Attach(ctx); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return r.start(ctx, target) }, nil
}

// data is the folder of a cell's data.
func (r *rig) data(cell string) string { return filepath.Join(r.w.hosts[cell].disk.Mount, "data") }

// fills is how long a cell without a link gathers readings before its files are damaged.
const fills = 3 * time.Second

// damage spoils a record file of an agent that has readings and is down.
func damage(ctx context.Context, r *rig, target string) (cure, error) {
	if err := r.carrier(ctx, target, "down"); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
	case <-time.After(fills):
	}
	if err := errors.Join(r.kill(target), r.carrier(ctx, target, "up")); err != nil {
		return nil, err
	}
	r.asking.Lock()
	defer r.asking.Unlock()
	files, err := filepath.Glob(filepath.Join(r.data(target), "buffer", "*.db"))
	if err != nil {
		return nil, err
	}
	files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "chain.db") })
	rng := rand.New(rand.NewPCG(r.opt.Seed, uint64(r.round)+1<<32))
	did := ""
	if len(files) > 0 {
		if did, err = spoil(files[rng.IntN(len(files))], rng); err != nil {
			return nil, err
		}
	}
	if did == "" {
		return nil, fmt.Errorf("%s has no file of readings that could be damaged: %q", target, files)
	}
	r.say("%s", did)
	return func(ctx context.Context) error { return r.start(ctx, target) }, nil
}

// spoil flips bits of a page, zeroes it, or cuts the file off within what it holds. A file
// grows in large steps, so most of it may hold nothing yet: that is left alone. It returns
// what it did, "" where the file holds nothing.
func spoil(path string, rng *rand.Rand) (did string, err error) {
	const page = 4096
	whole, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var used []int64 // offsets of pages that hold something
	for at := 0; at+page <= len(whole); at += page {
		if slices.ContainsFunc(whole[at:at+page], func(b byte) bool { return b != 0 }) {
			used = append(used, int64(at))
		}
	}
	if len(used) == 0 {
		return "", nil
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	at := used[rng.IntN(len(used))]
	b := slices.Clone(whole[at : at+page])
	switch rng.IntN(3) {
	case 0:
		for range 3 {
			b[rng.IntN(page)] ^= 1 << rng.IntN(8)
		}
		did = "bits of page %d of %s flipped; %d of %d pages hold something"
		_, err = f.WriteAt(b, at)
	case 1:
		did = "page %d of %s zeroed; %d of %d hold something"
		_, err = f.WriteAt(make([]byte, page), at)
	default:
		at = used[len(used)/2]
		did = "cut off at page %d of %s; %d of %d hold something"
		err = f.Truncate(at)
	}
	return fmt.Sprintf(did, at/page, filepath.Base(path), len(used), len(whole)/page), errors.Join(err, f.Sync())
}

// rollBack copies the data of a cell, lets it go on, and at the cure puts the copy back,
// as somebody does who restores an image of the card.
func rollBack(ctx context.Context, r *rig, target string) (cure, error) {
	if err := r.kill(target); err != nil {
		return nil, err
	}
	copied := filepath.Join(r.w.dir, "image")
	if err := os.RemoveAll(copied); err != nil {
		return nil, err
	}
	if err := run(ctx, "cp", "-a", r.data(target), copied); err != nil {
		return nil, err
	}
	then := time.Now()
	r.cloning = true // it may give new names to what the database has of its other life
	if err := r.start(ctx, target); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := r.kill(target); err != nil {
			return err
		}
		r.asking.Lock()
		err := run(ctx, "sh", "-c", fmt.Sprintf("rm -rf '%s' && cp -a '%s' '%s'", r.data(target), copied, r.data(target)))
		err = errors.Join(err, flush(ctx, filepath.Dir(r.data(target))))
		r.journal.rolledBack(then)
		r.asking.Unlock()
		if err != nil {
			return err
		}
		return r.start(ctx, target)
	}, nil
}

// ddl holds the lock of a table that every commit needs.
func ddl(ctx context.Context, r *rig, _ string) (cure, error) {
	return r.transaction(ctx, `lock table reading_dyno, reading_turbofan in access exclusive mode`)
}

func longReader(ctx context.Context, r *rig, _ string) (cure, error) {
	return r.transaction(ctx, `select count(*) from reading_dyno`)
}

// transaction begins one, and leaves it open until the cure.
func (r *rig) transaction(ctx context.Context, sql string) (cure, error) {
	conn, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err = conn.Exec(limited, "begin; "+sql); err != nil {
		conn.Close(ctx)
		return nil, fmt.Errorf("open transaction at %s: %w", factory.Postgres, err)
	}
	return func(ctx context.Context) error {
		conn.Close(ctx)
		return nil
	}, nil
}
