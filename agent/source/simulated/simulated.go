package simulated

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"andon.internal/agent/source"
	"andon.internal/agent/source/simulated/dyno"
	"andon.internal/shared/telemetry"
)

// ErrNoUnit says that a unit is not on test here.
var ErrNoUnit = errors.New("no such unit is on test")

// Source is a cell of simulated dynamometers. Open, Read and Close are for one
// goroutine, the other methods are safe for concurrent use.
type Source struct {
	config Config

	mu       sync.Mutex
	stations []*station
	queue    []queued
	rng      *rand.Rand        // latency and drops
	planned  []Planned         // not yet begun
	opened   int64             // unix ns, by the wall clock then
	begun    time.Time         // the same moment, monotonic
	values   []telemetry.Value // scratch of one reading

	ready chan struct{} // capacity 1: something was queued
	stop  context.CancelFunc
	done  chan struct{}
}

// queued is an event on its way to the consumer.
type queued struct {
	event source.Event
	at    int64 // machineTime of its arrival
}

// New checks the configuration. It starts nothing.
func New(c Config) (*Source, error) {
	c.withDefaults()
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("simulated source: %w", err)
	}
	return &Source{config: c}, nil
}

// Open puts units on the stations and starts their clock. Runs that are still on test
// go on; one that no station knows ends.
func (s *Source) Open(_ context.Context, from source.Resume) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		return errors.New("simulated source: already open")
	}
	s.begun = time.Now()
	s.opened = s.config.Now().UnixNano()
	s.rng = rand.New(rand.NewPCG(s.config.Seed, uint64(s.opened)))
	s.planned = append([]Planned(nil), s.config.Faults...)
	s.stations, s.queue = nil, nil
	for i := range s.config.Stations {
		// The stations begin one after another, as people load them.
		st := &station{number: s.config.First + i, serial: 1, next: s.opened + int64(i)*2e8}
		s.stations = append(s.stations, st)
	}
	for _, r := range from.Runs {
		if !s.resumeLocked(r) {
			s.pushLocked(source.Event{Kind: source.Death, Unit: r.Unit, Time: s.opened, Reason: "removed"}, s.opened)
		}
	}
	s.ready, s.done = make(chan struct{}, 1), make(chan struct{})
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	go s.run(ctx, s.begun, s.done)
	return nil
}

func (s *Source) resumeLocked(r source.Run) bool {
	for _, st := range s.stations {
		if st.born == 0 && st.resume(&s.config, r, s.opened) {
			return true
		}
	}
	return false
}

// catchUp is how far back periods are made up for that a late tick has passed over. After a
// longer standstill of the process its machines have moved on, as real ones would.
const catchUp = time.Second

// run is the stations' clock: at every period all machines are advanced and read. A
// tick that comes late does not move the ones after it.
func (s *Source) run(ctx context.Context, start time.Time, done chan struct{}) {
	defer close(done)
	period := time.Duration(float64(time.Second) / s.config.Rate)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := int64(1); ; n++ {
		due := start.Add(time.Duration(n) * period)
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		late := time.Since(due)
		s.tick(late)
		if gone := int64((late - catchUp) / period); gone > 0 {
			n += gone
			s.passOver(gone)
		}
	}
}

// passOver counts the readings of periods in which none was taken.
func (s *Source) passOver(periods int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.stations {
		if st.born != 0 {
			s.config.Metrics.missed.Add(float64(periods))
		}
	}
}

// machineTime is the time by which machines run and readings arrive, in unix ns: the wall
// clock's at the start, and monotonic from there. Only what is told has the wall clock's.
func (s *Source) machineTime() int64 { return s.opened + int64(time.Since(s.begun)) }

// tick takes a reading of every unit now.
func (s *Source) tick(late time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, wall := s.machineTime(), s.config.Now().UnixNano()
	s.beginPlannedLocked(t)
	for _, st := range s.stations {
		if st.born == 0 {
			if t < st.next {
				continue
			}
			st.mount(&s.config, t)
			s.pushLocked(source.Event{Kind: source.Birth, Unit: st.unit, Time: wall, Profile: s.config.Profile}, t)
		}
		over := st.advance(t)
		s.takeLocked(st, t, wall, late)
		if over {
			s.pushLocked(source.Event{Kind: source.Death, Unit: st.unit, Time: wall, Reason: "finished"}, t)
			st.unmount(&s.config, t)
		}
	}
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// takeLocked reads the station's sensors, unless the reading is dropped on its way.
func (s *Source) takeLocked(st *station, t, wall int64, late time.Duration) {
	s.values = st.sensors.Read(s.values[:0], st.machine, st.faults, st.now)
	s.config.Metrics.taken.Inc()
	if s.config.Drop > 0 && s.rng.Float64() < s.config.Drop {
		s.config.Metrics.dropped.Inc()
		return
	}
	if len(s.queue) >= s.config.Queue {
		s.config.Metrics.missed.Inc()
		return
	}
	arrival := t + int64(s.rng.ExpFloat64()*float64(s.config.Latency))
	s.pushLocked(source.Event{
		Kind: source.Reading, Unit: st.unit, Time: wall, Quality: telemetry.QualitySimulated,
		Values: append([]telemetry.Value(nil), s.values...), Late: late,
	}, arrival)
}

// pushLocked queues an event. Events arrive in the order in which they happened: one
// that was fast waits for the one before it. Births and deaths always find room.
func (s *Source) pushLocked(e source.Event, arrival int64) {
	if n := len(s.queue); n > 0 {
		arrival = max(arrival, s.queue[n-1].at)
	}
	s.queue = append(s.queue, queued{e, arrival})
}

// beginPlannedLocked starts the configured faults whose time has come and whose
// station has a unit.
func (s *Source) beginPlannedLocked(t int64) {
	waiting := s.planned[:0]
	for _, p := range s.planned {
		st := s.stations[p.Station-s.config.First]
		if t < s.opened+p.After.Nanoseconds() || st.born == 0 {
			waiting = append(waiting, p)
			continue
		}
		s.beginLocked(st, dyno.Fault{Kind: p.Kind, Duration: p.Duration, Signal: p.Signal})
	}
	s.planned = waiting
}

func (s *Source) beginLocked(st *station, f dyno.Fault) {
	f.Start = st.now
	st.faults = append(st.faults, f)
	s.config.Logger.Info("fault begins", "unit", st.unit, "fault", string(f.Kind), "signal", f.Signal)
}
