package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// steps are what is to be undone at the end, in reverse order.
type steps struct {
	log  *slog.Logger
	list []step
}

type step struct {
	name string
	undo func() error
}

// add notes how to undo what was just done.
func (s *steps) add(name string, undo func() error) {
	s.list = append(s.list, step{name, undo})
}

// undo undoes everything, the last first, whatever fails on the way.
func (s *steps) undo() error {
	var errs []error
	for i := len(s.list) - 1; i >= 0; i-- {
		begin := time.Now()
		if err := s.list[i].undo(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.list[i].name, err))
		}
		s.log.Debug("stopped", "step", s.list[i].name, "took", time.Since(begin))
	}
	s.list = nil
	return errors.Join(errs...)
}

// errStuck is the end of a part that does not end.
var errStuck = errors.New("does not stop in time; going on without it")

// start runs a part of the agent until it is undone, which waits for it, at most
// for patience. An error that ends it before is logged at once, and is not one of undo:
// the other parts go on, and nobody would read it before the stop. What it returns tells the
// part to end before its turn comes, and does not wait.
func (s *steps) start(name string, patience time.Duration, run func(context.Context) error) context.CancelFunc {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := run(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Error("a part of the agent has ended; the others go on", "part", name, "error", err)
			err = nil
		}
		done <- err
	}()
	s.add("stop "+name, func() error {
		cancel()
		late := time.NewTimer(patience)
		defer late.Stop()
		select {
		case err := <-done:
			return err
		case <-late.C:
			return errStuck
		}
	})
	return cancel
}
