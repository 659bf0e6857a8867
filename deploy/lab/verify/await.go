package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/cmapss"
	"andon.internal/lab/factory"
)

// await applies the faults, where there are any, and returns when everything of the
// file has been acknowledged, or with a problem noted when that takes too long.
func (r *Report) await(ctx context.Context, f *factory.Factory, o Options, file *cmapss.File, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	p := &progress{dsn: f.DSN()}
	defer p.close()
	if o.Faults {
		b := &breaker{f: f, progress: p, total: len(file.Lines), log: o.Logger}
		applied, err := b.run(ctx, plan(o.Seed, cell))
		r.Faults = applied
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err := f.Limit(cell, 0); err != nil {
			return err
		}
	}
	for {
		reason := p.ended(ctx, f, file.Engines())
		if reason == nil {
			break
		}
		select {
		case <-time.After(20 * time.Millisecond):
			continue
		case <-ctx.Done():
		}
		if context.Cause(ctx) != context.DeadlineExceeded {
			return ctx.Err()
		}
		r.problem("not ended within %v: %v", limit.Round(time.Second), reason)
		return nil
	}
	if len(r.Faults) > 0 {
		return r.struck(ctx, p)
	}
	return nil
}

// struck checks that readings arrived after every fault: one that came when all was
// over proves nothing.
func (r *Report) struck(ctx context.Context, p *progress) error {
	last, err := p.lastReceived(ctx)
	if err != nil {
		return err
	}
	for _, a := range r.Faults {
		if !a.Time.Before(last) {
			r.problem("%s %s came after the last reading: slow the file down with --speed", a.Kind, a.Target)
		}
	}
	return nil
}

// progress asks PostgreSQL how far things are, connecting anew after each fault of
// the database. It belongs to one goroutine.
type progress struct {
	dsn  string
	conn *pgx.Conn
}

func (p *progress) close() {
	if p.conn != nil {
		p.conn.Close(context.Background())
		p.conn = nil
	}
}

// query scans one row; after an error the connection is given up.
func (p *progress) query(ctx context.Context, sql string, into ...any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if p.conn == nil {
		conn, err := pgx.Connect(ctx, p.dsn)
		if err != nil {
			return fmt.Errorf("ask for progress: %w", err)
		}
		p.conn = conn
	}
	if err := p.conn.QueryRow(ctx, sql).Scan(into...); err != nil {
		p.close()
		return fmt.Errorf("ask for progress: %w", err)
	}
	return nil
}

// rows is how many readings are committed.
func (p *progress) rows(ctx context.Context) (n int, err error) {
	err = p.query(ctx, `select count(*) from reading_turbofan`, &n)
	return n, err
}

func (p *progress) lastReceived(ctx context.Context) (t time.Time, err error) {
	err = p.query(ctx, `select coalesce(max(received_at), 'epoch') from reading_turbofan`, &t)
	return t, err
}

// ended returns nil when every engine's run has ended and the cell holds nothing
// any more, or else what is still open.
func (p *progress) ended(ctx context.Context, f *factory.Factory, engines int) error {
	var dead, alive int
	err := p.query(ctx, `select count(*) filter (where died is not null), count(*) filter (where died is null) from unit_run`, &dead, &alive)
	if err != nil {
		return err
	}
	if dead < engines || alive > 0 {
		return fmt.Errorf("%d of %d runs have ended, %d have not", dead, engines, alive)
	}
	buffered, err := f.Buffered(ctx, cell)
	if err != nil {
		return err
	}
	if buffered > 0 {
		return fmt.Errorf("the cell still holds %d readings", buffered)
	}
	return nil
}
