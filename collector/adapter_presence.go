package collector

import (
	"context"
	"errors"
	"time"

	"andon.internal/collector/presence"
	"andon.internal/collector/web"
)

// say lets the other processes know which roles this one does, until ctx ends.
func (col *Collector) say(ctx context.Context) {
	tick := time.NewTicker(presence.Every)
	defer tick.Stop()
	for {
		presence.Say(col.roles, col.host.Publish)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (col *Collector) intakeRole() presence.Role {
	return presence.Role{Name: RoleIntake, Alive: col.intake.Alive, Fault: func() error {
		if err := col.intake.Lease(); err != nil {
			return err
		}
		return col.intake.Database()
	}}
}

// sentinelRole hears through the feed: without that it is there and deaf.
func (col *Collector) sentinelRole() presence.Role {
	return presence.Role{Name: RoleSentinel, Fault: col.sentry.Journal, Alive: func() error {
		return errors.Join(col.sentry.Alive(), col.feed.Alive())
	}}
}

// roll is who does the other roles, as the pages ask for it.
type roll struct{ *presence.Roll }

func (r roll) absent(now time.Time) []web.Absence {
	var out []web.Absence
	for _, a := range r.Absent(now) {
		out = append(out, web.Absence(a))
	}
	return out
}
