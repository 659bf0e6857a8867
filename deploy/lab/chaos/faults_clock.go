package chaos

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// clockVariable names the file of seconds which the wall clock of a program is off by. Only
// a program that deploy/scripts/clocked has built looks at it.
const clockVariable = "ANDON_WALL_CLOCK"

func (r *rig) clockFile() string { return filepath.Join(r.w.dir, "clock") }

// giveClock makes the file for the cell of dynos. Its clock is right.
func (r *rig) giveClock() error { return os.WriteFile(r.clockFile(), make([]byte, 8), 0o600) }

// setClock has the cell's clock be off, in whole seconds, at once.
func (r *rig) setClock(off time.Duration) error {
	f, err := os.OpenFile(r.clockFile(), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("set the clock of %s: %w", dynoCell, err)
	}
	defer f.Close()
	b := binary.NativeEndian.AppendUint64(nil, uint64(int64(off/time.Second)))
	_, err = f.WriteAt(b, 0)
	return err
}

// clockIs returns an error where the cell's clock does not become off as it should be: an
// answer may be some seconds old.
func (r *rig) clockIs(ctx context.Context, off time.Duration) error {
	var err error
	if !until(ctx, 5*time.Second, func() bool {
		var s *fill
		if s, err = r.status(ctx, dynoCell); err != nil {
			return false
		}
		is := time.Until(s.Clock.Time)
		if wrong := is - off; max(wrong, -wrong) > 5*time.Second {
			err = fmt.Errorf("the clock of %s is off by %v, and should be by %v", dynoCell, is.Round(time.Second), off)
		}
		return err == nil
	}) {
		return err
	}
	return nil
}

// whole is the fault's end: the clock is right again, while the cell runs, as when NTP
// answers at last.
func (r *rig) whole(context.Context) error { return r.setClock(0) }

func clockOff(off time.Duration) func(context.Context, *rig, string) (cure, error) {
	return func(ctx context.Context, r *rig, _ string) (cure, error) {
		if err := r.setClock(off); err != nil {
			return r.whole, err
		}
		return r.whole, r.clockIs(ctx, off)
	}
}

// clock1970 has the cell boot without a clock.
func clock1970(ctx context.Context, r *rig, target string) (cure, error) {
	off := -time.Duration(time.Now().Unix()) * time.Second
	r.journal.booted(off)
	if err := r.quiet(target, func() error { return r.f.Stop(target) }); err != nil {
		return r.whole, err
	}
	if err := r.setClock(off); err != nil {
		return r.whole, err
	}
	if err := r.start(ctx, target); err != nil {
		return r.whole, err
	}
	if err := r.answers(ctx, target); err != nil {
		return r.whole, err
	}
	return r.whole, r.clockIs(ctx, off)
}

// clockSteps sets the clock again and again, by up to two hours either way.
func clockSteps(ctx context.Context, r *rig, _ string) (cure, error) {
	const most = 2 * time.Hour
	rng := rand.New(rand.NewPCG(r.opt.Seed, uint64(r.round)+3<<32))
	if err := r.setClock(most); err != nil {
		return r.whole, err
	}
	if err := r.clockIs(ctx, most); err != nil {
		return r.whole, err
	}
	return r.meanwhile(ctx, func(ctx context.Context) error {
		for ctx.Err() == nil {
			if err := r.setClock(time.Duration(rng.Int64N(int64(2*most))) - most); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
			case <-time.After(500*time.Millisecond + time.Duration(rng.Int64N(int64(2*time.Second)))):
			}
		}
		return nil
	}, r.whole), nil
}

// flagged accuses where readings are far from when they came and pass for well dated.
func (r *rig) flagged(ctx context.Context, conn *pgx.Conn) error {
	var n int
	err := conn.QueryRow(ctx, `select count(*) from reading_dyno
		where quality >> 8 & 15 = 0 and abs(extract(epoch from ts - received_at)) > 1800`).Scan(&n)
	if err != nil {
		return fmt.Errorf("look for readings with a wrong time: %w", err)
	}
	if n > 0 {
		r.accuse("%d readings of %s are off by more than half an hour, and pass for well dated", n, dynoCell)
	}
	return nil
}
