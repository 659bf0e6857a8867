package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"andon.internal/lab/cable"
	"andon.internal/lab/factory"
	"andon.internal/lab/process"
)

// Applied is a fault as it happened.
type Applied struct {
	Fault
	Time   time.Time `json:"time"`
	Rows   int       `json:"rows"` // committed when it struck; of a database that was down, when it went down
	During []string  `json:"during,omitempty"`
}

// breaker applies faults by progress.
type breaker struct {
	f        *factory.Factory
	progress *progress
	total    int
	log      *slog.Logger

	mu      sync.Mutex
	holding map[string]chan struct{} // what is broken; closed when it is whole again
	errs    []error
}

// run applies the plan and returns when everything is whole again.
func (b *breaker) run(ctx context.Context, faults []Fault) (applied []Applied, err error) {
	b.holding = map[string]chan struct{}{}
	var cures sync.WaitGroup
	rows := 0
	for _, f := range faults {
		if rows, err = b.due(ctx, f, applied, rows); err != nil {
			break
		}
		a := Applied{Fault: f, Rows: rows}
		if a.During, err = b.whole(ctx, f); err != nil {
			break
		}
		a.Time = time.Now()
		cure, err1 := b.strike(ctx, f)
		if err1 != nil {
			err = err1
			break
		}
		b.log.Info("fault", "kind", f.Kind, "target", f.Target, "rows_committed", rows, "hold", f.Hold, "during", a.During)
		applied = append(applied, a)
		cures.Go(func() {
			time.Sleep(f.Hold) // the fault's own length, not a wait for something
			cure()
		})
	}
	cures.Wait()
	return applied, errors.Join(append(b.errs, err)...)
}

// due waits until the fault is due and returns the readings committed by then. While
// the database is down the last known count stands.
func (b *breaker) due(ctx context.Context, f Fault, applied []Applied, last int) (int, error) {
	wait := func(d time.Duration) error {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s %s is due: %w", f.Kind, f.Target, ctx.Err())
		case <-time.After(d):
			return nil
		}
	}
	if n := len(applied); f.After > 0 && n > 0 {
		if err := wait(time.Until(applied[n-1].Time.Add(f.After))); err != nil {
			return last, err
		}
		if b.broken(factory.Postgres) {
			return last, nil
		}
		if n, err := b.progress.rows(ctx); err == nil {
			last = n
		}
		return last, nil
	}
	for {
		pause := 5 * time.Millisecond
		n, err := b.progress.rows(ctx)
		if err == nil {
			last = n
		} else {
			pause *= 10 // the database is down
		}
		if err == nil && float64(n) >= f.At*float64(b.total) {
			if n >= b.total {
				return n, fmt.Errorf("%s %s was due at %.0f %% of %d readings, but all were committed before it could strike: slow the file down with --speed",
					f.Kind, f.Target, 100*f.At, b.total)
			}
			return n, nil
		}
		if err := wait(pause); err != nil {
			return last, err
		}
	}
}

func key(f Fault) string {
	if f.Kind == Kill {
		return f.Target
	}
	return "cable " + f.Target
}

func (b *breaker) broken(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.holding[key] != nil
}

// whole waits until the fault's target is whole, and returns what else is broken.
func (b *breaker) whole(ctx context.Context, f Fault) ([]string, error) {
	b.mu.Lock()
	held := b.holding[key(f)]
	b.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.holding)), nil
}

// strike applies the fault and returns its cure.
func (b *breaker) strike(ctx context.Context, f Fault) (cure func(), err error) {
	mend := func() error { return b.f.Heal(f.Target) }
	if f.Kind == Kill {
		err = b.f.Kill(f.Target)
		mend = func() error { return b.f.Restart(ctx, f.Target) }
		if errors.Is(err, process.ErrDown) {
			err = fmt.Errorf("%w: it had exited by itself", err)
		}
	} else {
		err = b.f.Cut(f.Target, cable.State(f.Kind))
	}
	if err != nil {
		return nil, err
	}
	held := make(chan struct{})
	b.mu.Lock()
	b.holding[key(f)] = held
	b.mu.Unlock()
	return func() {
		err := mend()
		b.mu.Lock()
		defer b.mu.Unlock()
		if err != nil {
			b.errs = append(b.errs, err)
		}
		delete(b.holding, key(f))
		close(held)
	}, nil
}
