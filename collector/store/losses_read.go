package store

import (
	"context"
	"time"

	"andon.internal/shared/telemetry"
)

// Losses returns how many positions of each node's were told lost in the last window and
// did not come after all, by reason.
func (r *Reader) Losses(ctx context.Context, window time.Duration) ([]Trouble, error) {
	var out []Trouble
	err := r.s.read(ctx, call{
		sql: lostSQL, params: [][]byte{seconds(window), []byte(telemetry.LossCrash)}, row: addTrouble(&out),
	})
	if err != nil {
		return nil, r.s.fail(ctx, nil, "read losses", err, false)
	}
	return out, nil
}
