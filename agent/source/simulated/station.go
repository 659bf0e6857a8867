package simulated

import (
	"math"
	"strconv"
	"strings"

	"andon.internal/agent/source"
	"andon.internal/agent/source/simulated/dyno"
)

// station is one dynamometer and the unit on it. Times are seconds.
type station struct {
	number    int
	serial    int // of the unit that is on test or comes next
	unit      string
	born      int64 // unix ns; 0 while the station is empty
	next      int64 // unix ns at which the next unit is put on
	programme dyno.Programme
	machine   *dyno.Machine
	sensors   *dyno.Sensors
	faults    []dyno.Fault
	now       float64 // s since the unit's birth
}

// mount puts a new unit on the station.
func (s *station) mount(c *Config, born int64) {
	s.unit = unitName(c.Prefix, s.number, s.serial)
	s.born, s.now, s.faults = born, 0, nil
	seed := c.Seed*1_000_003 + uint64(s.number)*10_007 + uint64(s.serial)
	s.machine, s.sensors = dyno.New(seed)
	// Units are tested at loads and speeds that differ a little, as they do.
	s.programme = dyno.Programme{
		Seconds: c.Programme.Seconds(),
		Load:    0.75 + 0.2*fraction(seed*7919),
		Speed:   0.85 + 0.15*fraction(seed*104_729),
	}
}

// fraction spreads seeds over 0 to 1.
func fraction(x uint64) float64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11) / (1 << 53)
}

// advance lets the machine run until t (unix ns) and reports whether its test is over.
func (s *station) advance(t int64) (over bool) {
	end := float64(t-s.born) / 1e9
	for s.now < end {
		dt := min(end-s.now, 1)
		demand, done := s.programme.At(s.now)
		if done {
			return true
		}
		s.machine.Cycles = s.programme.Cycles(s.now)
		s.machine.Apply(s.faults, s.now)
		s.machine.Step(dt, demand)
		s.now += dt
	}
	_, done := s.programme.At(s.now)
	return done
}

// unmount takes the unit off.
func (s *station) unmount(c *Config, t int64) {
	s.born, s.machine, s.sensors = 0, nil, nil
	s.serial++
	s.next = t + c.Idle.Nanoseconds()
}

// resume puts the unit of a run that is still on test back, where a machine would be
// that ran on meanwhile, and reports whether the run is one of this station.
func (s *station) resume(c *Config, r source.Run, now int64) bool {
	rest, ok := strings.CutPrefix(r.Unit, c.Prefix)
	if !ok {
		return false
	}
	number, serial, _ := strings.Cut(rest, "-")
	n, err1 := strconv.Atoi(number)
	k, err2 := strconv.Atoi(serial)
	if err1 != nil || err2 != nil || n != s.number || k < 1 || unitName(c.Prefix, n, k) != r.Unit || r.Born > now {
		return false
	}
	s.serial = k
	s.mount(c, r.Born)
	// A unit that was left for days is not driven through every second of them: its
	// test is over long since, and the first tick says so.
	until := min(now, r.Born+int64(math.Ceil(s.programme.Seconds))*1e9)
	s.advance(until)
	return true
}
