package agent

import (
	"context"
	"log/slog"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/clock"
	"andon.internal/agent/state"
)

// The smallest limits of a buffer.
const (
	MinDisk   = minDisk
	MinMemory = minMemory
)

// StopTakes is how long the parts have to stop.
const StopTakes = stopTakes

// Steps is the list of what is to be undone.
type Steps struct{ steps }

// NewSteps returns an empty list.
func NewSteps(log *slog.Logger) *Steps { return &Steps{steps{log: log}} }

// Add, Start and Undo are its methods.
func (s *Steps) Add(name string, undo func() error) { s.add(name, undo) }

func (s *Steps) Start(name string, patience time.Duration, run func(context.Context) error) {
	s.start(name, patience, run)
}

func (s *Steps) Undo() error { return s.undo() }

// Sessions numbers connections by the counters of a state.
func Sessions(s *state.Store) interface{ Next(string) (uint64, error) } { return sessions{s} }

// SetClock sets the wall clock of a machine that has no other.
func (c *Config) SetClock(now func() time.Time) {
	c.Clock = func() clock.Time { return clock.Time{Wall: now().UnixNano()} }
}

// SetDiskPatience sets how long the disk may take at the start.
func (c *Config) SetDiskPatience(d time.Duration) { c.diskPatience = d }

// BufferFaults is what is told of a buffer with these figures, and what of it keeps a new
// configuration from being taken over.
func BufferFaults(s buffer.Stats) (told, waits error) {
	return oneLine(append(bufferFaults(&s), sealed(&s))), oneLine(writeFaults(&s))
}
