package simulated

import (
	"context"
	"fmt"
	"time"

	"andon.internal/agent/source"
	"andon.internal/agent/source/simulated/dyno"
)

// maxFaults bounds what may be wrong with one unit at a time.
const maxFaults = 64

// Read waits until an event has arrived and appends those that have to b, up to a batch.
func (s *Source) Read(ctx context.Context, b *source.Batch) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		wait, err := s.drain(b)
		if err != nil || len(b.Events) > 0 {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-s.ready:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// idleWait is how long Read waits for the next tick when nothing is under way.
const idleWait = time.Minute

// drain moves what has arrived to the batch and returns how long the next takes.
func (s *Source) drain(b *source.Batch) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop == nil {
		return 0, fmt.Errorf("simulated source: %w", source.ErrRefused)
	}
	now := s.machineTime()
	n := 0
	for n < min(len(s.queue), source.MaxBatch) && s.queue[n].at <= now {
		e := &s.queue[n].event
		switch e.Kind {
		case source.Birth:
			b.AddBirth(e.Unit, e.Profile, e.Time)
		case source.Death:
			b.AddDeath(e.Unit, e.Time, e.Reason)
		case source.Reading:
			b.AddReading(e.Unit, e.Time, e.Quality, e.Values).Late = e.Late
		}
		n++
	}
	rest := copy(s.queue, s.queue[n:])
	clear(s.queue[rest:])
	s.queue = s.queue[:rest]
	if rest == 0 {
		if cap(s.queue) > source.MaxBatch { // the consumer was slow once
			s.queue = nil
		}
		return idleWait, nil
	}
	return time.Duration(s.queue[0].at - now), nil
}

// Close stops the clock. What was taken and not yet read is gone, as it would be with
// a machine.
func (s *Source) Close() error {
	s.mu.Lock()
	stop, done := s.stop, s.done
	s.stop = nil
	s.mu.Unlock()
	if stop != nil {
		stop()
		<-done
	}
	return nil
}

// Inject begins a fault on a unit that is on test, named by itself or by its station.
func (s *Source) Inject(unit string, f dyno.Fault) error {
	if err := f.Check(dyno.Signals()); err != nil {
		return err
	}
	return s.with(unit, func(st *station) error {
		if len(st.faults) == maxFaults {
			return fmt.Errorf("unit %s has %d faults already", unit, maxFaults)
		}
		s.beginLocked(st, f)
		return nil
	})
}

// Stop stops a unit's machine, named as for Inject: it runs down and cools.
func (s *Source) Stop(unit string) error {
	return s.with(unit, func(st *station) error { st.machine.Stop(); return nil })
}

// Release lets a stopped machine run again, named as for Inject.
func (s *Source) Release(unit string) error {
	return s.with(unit, func(st *station) error { st.machine.Release(); return nil })
}

func (s *Source) with(unit string, f func(*station) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.stations {
		if st.born != 0 && (st.unit == unit || stationName(s.config.Prefix, st.number) == unit) {
			return f(st)
		}
	}
	return fmt.Errorf("unit %q: %w", unit, ErrNoUnit)
}
