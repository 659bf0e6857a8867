package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"andon.internal/lab/loopdisk"
)

// slowWrites is how many a worn card takes in a second while it tidies up.
const slowWrites = 20

// slowDisk has the disk of a cell take 20 writes a second, and pulls its cable, so that
// everything must be written.
func slowDisk(ctx context.Context, r *rig, target string) (cure, error) {
	if err := loopdisk.Throttles(); err != nil {
		return nil, err
	}
	d := r.w.hosts[target].disk
	before, err := d.TimeWrites()
	if err != nil {
		return nil, err
	}
	kept, err := r.keepsPace(ctx, target)
	if err != nil {
		return nil, err
	}
	lift := func(ctx context.Context) error {
		return errors.Join(kept(ctx), d.Throttle(0), r.carrier(ctx, target, "up"))
	}
	if err := errors.Join(r.carrier(ctx, target, "down"), d.Throttle(slowWrites)); err != nil {
		return lift, err
	}
	after, err := d.TimeWrites()
	if err != nil {
		return lift, err
	}
	r.say("%d synced writes took %v, now %v", loopdisk.TimedWrites, before.Round(time.Millisecond), after.Round(time.Millisecond))
	if after < (loopdisk.TimedWrites-2)*time.Second/slowWrites {
		return lift, fmt.Errorf("the disk of %s is not slow: %d synced writes took %v", target, loopdisk.TimedWrites, after)
	}
	return lift, nil
}
