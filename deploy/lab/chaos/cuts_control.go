package chaos

import (
	"context"
	"fmt"
	"os"

	"andon.internal/shared/broken"
)

// CutControl is a write that is not synced on purpose, which a round of power cuts must find.
type CutControl struct {
	Name     string
	rule     string            // that the programs break, which are built with the tag andon_broken; none
	postgres map[string]string // settings
}

// CutControls are those of the cells' buffers and of the database.
var CutControls = []CutControl{
	{Name: broken.NoSync, rule: broken.NoSync},
	{Name: "no-sync-postgres", postgres: map[string]string{"fsync": "off"}},
}

// RunCutControl plays a round of power cuts, and returns what the checker says of it.
func RunCutControl(ctx context.Context, o Options, c CutControl) (*Round, error) {
	const variable = "ANDON_BROKEN"
	if err := os.Setenv(variable, c.rule); err != nil {
		return nil, err
	}
	defer func() { _ = os.Unsetenv(variable) }()
	var found *Round
	o.PowerCuts, o.Rounds, o.postgres = true, 1, c.postgres
	o.Done = func(r *Round) { found = r }
	if err := Run(ctx, o); err != nil {
		return nil, fmt.Errorf("control %s: %w", c.Name, err)
	}
	return found, nil
}
