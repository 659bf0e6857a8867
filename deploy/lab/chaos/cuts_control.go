package chaos

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"andon.internal/lab/factory"
	"andon.internal/shared/broken"
)

// CutControl is a write that is not synced on purpose, which a round of power cuts must find.
type CutControl struct {
	Name     string
	rule     string            // that the programs break, which are built with the tag andon_broken; none
	postgres map[string]string // settings
	caught   func(*Round) bool // not only that anything was found
}

// CutControls are those of the cells' buffers and of the database.
var CutControls = []CutControl{
	{Name: broken.NoSync, rule: broken.NoSync, caught: lostOrTold},
	{Name: "no-sync-postgres", postgres: map[string]string{"fsync": "off"}, caught: func(r *Round) bool {
		return lost(r) || doubled(r) || slices.ContainsFunc(r.Findings, func(f string) bool {
			return strings.HasPrefix(f, factory.Postgres+noStart) || strings.HasPrefix(f, noTables)
		})
	}},
}

// RunCutControl plays a round of power cuts, and returns what the checker says of it, and
// whether that is what the missing sync does.
func RunCutControl(ctx context.Context, o Options, c CutControl) (r *Round, caught bool, err error) {
	const variable = "ANDON_BROKEN"
	if err := os.Setenv(variable, c.rule); err != nil {
		return nil, false, err
	}
	defer func() { _ = os.Unsetenv(variable) }()
	var found *Round
	o.PowerCuts, o.Rounds, o.postgres = true, 1, c.postgres
	o.Done = func(r *Round) { found = r }
	if err := Run(ctx, o); err != nil {
		return nil, false, fmt.Errorf("control %s: %w", c.Name, err)
	}
	return found, c.caught(found), nil
}
