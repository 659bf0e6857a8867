package chaos

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"andon.internal/lab/factory"
	"andon.internal/shared/broken"
)

// Control is a rule that is broken on purpose, and faults under which that must show, by
// their order and not by luck. The binaries are built with the tag andon_broken; others break
// nothing, and the control is not caught.
type Control struct {
	Name   string
	Script []Strike
	caught func(*Round) bool // not only that anything was found
}

func lost(r *Round) bool { return r.Lost > 0 }

// lostOrTold: a cell may find out by itself that readings are gone, from the answer to its
// birth or from its files, and tells it; then that is a loss which no fault explains.
func lostOrTold(r *Round) bool {
	return lost(r) || slices.ContainsFunc(r.Findings, func(f string) bool { return strings.Contains(f, stretches) })
}

func doubled(r *Round) bool { return r.Doubled > 0 }

// overdrawn is what [rig.judge] says of cells that go beyond their credit.
const overdrawn = "cells were seen beyond their credit"

// stretches is what [rig.losses] says of losses that no fault explains.
const stretches = "stretches that no fault explains: "

func beyondCredit(r *Round) bool {
	return slices.ContainsFunc(r.Findings, func(f string) bool { return strings.HasPrefix(f, overdrawn) })
}

func strike(fault, target string, at, hold time.Duration) Strike {
	i := slices.IndexFunc(Faults, func(f *Fault) bool { return f.Name == fault })
	return Strike{Faults[i], target, at * time.Second, hold * time.Second}
}

// Controls returns all of them.
func Controls() []Control {
	return []Control{
		{broken.NoSync, []Strike{strike("link-down", dynoCell, 1, 9), strike("power-cell", dynoCell, 6, 1)}, lostOrTold},
		{broken.EarlyAck, []Strike{strike("pause-postgres", factory.Postgres, 2, 6), strike("kill-collector", factory.Collector, 5, 1)}, lostOrTold},
		{broken.NoLedger, []Strike{strike("replayed-data", fileCell, 1, 8)}, doubled},
		{broken.EarlyMemory, []Strike{strike("link-down", dynoCell, 1, 9), strike("cell-full", dynoCell, 2, 4), strike("kill-agent", dynoCell, 7, 1)}, lostOrTold},
		{broken.ReusedPositions, []Strike{strike("kill-agent", dynoCell, 3, 1), strike("kill-agent", fileCell, 5, 1)}, lostOrTold},
		{broken.NoCredit, []Strike{strike("link-down", dynoCell, 1, 9), strike("slow-link", dynoCell, 11, 8)}, beyondCredit},
	}
}

// ControlRounds is how many rounds a control has until it counts as missed.
const ControlRounds = 3

// RunControl plays the script of a control with the rule broken, with further seeds until the
// checker finds what such a fault does, for [ControlRounds] at most. It returns the last
// round and how many there were.
func RunControl(ctx context.Context, o Options, c Control) (r *Round, rounds int, caught bool, err error) {
	for rounds < ControlRounds && !caught {
		if r, err = o.control(ctx, c); err != nil {
			return nil, rounds, false, err
		}
		caught = c.caught(r)
		rounds++
		o.Seed++
	}
	return r, rounds, caught, nil
}

func (o Options) control(ctx context.Context, c Control) (*Round, error) {
	const variable = "ANDON_BROKEN"
	if err := os.Setenv(variable, c.Name); err != nil {
		return nil, err
	}
	defer func() { _ = os.Unsetenv(variable) }()
	var found *Round
	o.script, o.Rounds, o.Span = c.Script, 1, 20*time.Second
	o.Done = func(r *Round) { found = r }
	if err := Run(ctx, o); err != nil {
		return nil, fmt.Errorf("control %s: %w", c.Name, err)
	}
	return found, nil
}
