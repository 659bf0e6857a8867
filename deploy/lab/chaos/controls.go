package chaos

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"andon.internal/lab/factory"
	"andon.internal/shared/broken"
)

// Control is a rule that is broken on purpose, and faults under which that must show. The
// binaries are built with the tag andon_broken; others break nothing, and the control
// is not caught.
type Control struct {
	Name   string
	Script []Strike
}

func strike(fault, target string, at, hold time.Duration) Strike {
	i := slices.IndexFunc(Faults, func(f *Fault) bool { return f.Name == fault })
	return Strike{Faults[i], target, at * time.Second, hold * time.Second}
}

// Controls returns all of them.
func Controls() []Control {
	return []Control{
		{broken.NoSync, []Strike{strike("link-down", dynoCell, 1, 9), strike("power-cell", dynoCell, 6, 1)}},
		{broken.EarlyAck, []Strike{strike("pause-postgres", factory.Postgres, 2, 6), strike("kill-collector", factory.Collector, 5, 1)}},
		{broken.NoLedger, []Strike{strike("postgres-ddl", factory.Postgres, 1, 12), strike("pause-postgres", factory.Postgres, 15, 12)}},
		{broken.EarlyMemory, []Strike{strike("link-down", dynoCell, 1, 9), strike("cell-full", dynoCell, 2, 4), strike("kill-agent", dynoCell, 7, 1)}},
		{broken.ReusedPositions, []Strike{strike("kill-agent", dynoCell, 3, 1), strike("kill-agent", fileCell, 5, 1)}},
		{broken.NoCredit, []Strike{strike("link-down", dynoCell, 1, 9), strike("slow-link", dynoCell, 11, 8)}},
	}
}

// RunControl plays the script of a control with the rule broken, and returns what the
// checker says of it.
func RunControl(ctx context.Context, o Options, c Control) (*Round, error) {
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
