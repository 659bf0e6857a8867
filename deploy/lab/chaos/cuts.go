package chaos

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"andon.internal/lab/factory"
)

// A round of power cuts strikes with nothing else, and does not wait for the plant to
// recover between two: cells and database lose their power again and again, side by side,
// some of them while they are starting, and the cells' links go down and up meanwhile.

// cellCuts and databaseCuts are how often a round cuts the power of each cell and of the
// database.
const (
	cellCuts     = 20
	databaseCuts = 5
)

// deadError is of a machine that does not start any more.
type deadError struct{ error }

// lane is what became of one machine in a round of power cuts.
type lane struct{ cuts, offline, writes int }

// playCuts cuts, waits until the plant has recovered, and checks.
func (r *rig) playCuts(ctx context.Context) (*Round, error) {
	out := &Round{Seed: r.opt.Seed, Round: r.round, FS: r.opt.FS, Write: r.opt.Write, Faults: []string{"power-cell", "power-postgres"}}
	for _, reason := range crash {
		r.excused[reason] = true
	}
	cutting, end := context.WithCancel(ctx)
	defer end()
	var lanes sync.WaitGroup
	names := []string{fileCell, dynoCell, factory.Postgres}
	done, errs := make([]lane, len(names)), make([]error, len(names))
	for i, name := range names {
		plan := planCuts(r.opt.Seed, r.round, name)
		lanes.Go(func() {
			done[i], errs[i] = r.lane(cutting, name, plan)
			if cutting.Err() != nil {
				errs[i] = nil // of the end of another
			} else if errs[i] != nil {
				end()
			}
		})
	}
	lanes.Wait()
	var dead *deadError
	if err := errors.Join(errs...); errors.As(err, &dead) && ctx.Err() == nil {
		out.unexplained("%v", err)
		return out, nil // there is nobody to be asked
	}
	if err := errors.Join(ctx.Err(), errors.Join(errs...)); err != nil {
		return nil, fmt.Errorf("round %d: %w", r.round, err)
	}
	out.Cuts = &Cuts{Database: done[2].cuts}
	for _, cell := range done[:2] {
		out.Cuts.Cell += cell.cuts
		out.Cuts.Offline += cell.offline
		out.Cuts.Writes += cell.writes
	}
	_, err := r.conclude(ctx, out)
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == undefinedTable {
		out.unexplained(noTables+": %v", err)
		return out, nil
	}
	r.safe, out.Cuts.Safe = out.Safe, out.Safe-r.safe
	return out, err
}

// What a round of power cuts says of a machine that is dead, and of an empty database.
const (
	noStart  = " does not start after cut"
	noTables = "the database has lost its tables"
)

// undefinedTable is PostgreSQL's for a table that is not there.
const undefinedTable = "42P01"

// lane cuts the power of one machine as planned. The link of a cell goes down and up
// meanwhile.
func (r *rig) lane(ctx context.Context, name string, plan []cut) (l lane, err error) {
	var offline atomic.Bool
	if name != factory.Postgres {
		up := r.turns(ctx, name, &offline)
		defer func() { err = errors.Join(err, up(context.WithoutCancel(ctx))) }()
	}
	for _, c := range plan {
		atWrite, err := r.awaitCut(ctx, name, &c)
		if err != nil {
			return l, err
		}
		was := offline.Load()
		r.say("cut %-2d of %-10s %s", l.cuts+1, name, c.describe(atWrite, was))
		start, err := powerOff(ctx, r, name)
		if err != nil {
			return l, err
		}
		l.cuts++
		if was {
			l.offline++
		}
		if atWrite {
			l.writes++
		}
		if err := pass(ctx, c.dark); err != nil {
			return l, err
		}
		if err := start(ctx); err != nil {
			return l, &deadError{fmt.Errorf("%s"+noStart+" %d of its power: %w", name, l.cuts, err)}
		}
	}
	return l, nil
}

func (c *cut) describe(atWrite, offline bool) string {
	s := fmt.Sprintf("after %v, dark for %v", c.gap, c.dark)
	if atWrite {
		s = fmt.Sprintf("%v behind write %d, dark for %v", c.behind, c.write, c.dark)
	}
	if offline {
		s += ", link down"
	}
	return s
}

// awaitCut waits for the moment of a cut. It reports whether that is a write.
func (r *rig) awaitCut(ctx context.Context, name string, c *cut) (atWrite bool, err error) {
	if c.write > 0 {
		w, err := watch(filepath.Join(r.data(name), "buffer"))
		if err != nil {
			return false, err
		}
		defer w.close()
		if atWrite, err = w.await(ctx, c.write, c.gap); err != nil {
			return false, err
		}
		return atWrite, pass(ctx, c.behind)
	}
	if err := pass(ctx, c.gap); err != nil {
		return false, err
	}
	if name == dynoCell { // so that what it says is as fresh as can be
		r.asking.Lock()
		defer r.asking.Unlock()
		if err := r.journal.ask(ctx, r.f.Bin(), r.data(dynoCell)); err != nil && ctx.Err() == nil {
			return false, fmt.Errorf("ask %s what it holds: %w", dynoCell, err)
		}
	}
	return false, pass(ctx, c.behind)
}

// pass lets time go by.
func pass(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// turns takes the link of a cell down and up in turn, each for 2 to 8 s.
func (r *rig) turns(ctx context.Context, cell string, offline *atomic.Bool) cure {
	rng := stream(r.opt.Seed, r.round, cell+" link")
	return r.meanwhile(ctx, func(ctx context.Context) error {
		for down := rng.IntN(2) == 0; ; down = !down {
			state := "up"
			if down {
				state = "down"
			}
			if err := r.carrier(ctx, cell, state); err != nil {
				return err
			}
			offline.Store(down)
			if pass(ctx, between(rng, 2*time.Second, 8*time.Second)) != nil {
				return nil
			}
		}
	}, func(ctx context.Context) error { return r.carrier(ctx, cell, "up") })
}
