package chaos

import (
	"context"
	"time"

	"andon.internal/lab/factory"
	"andon.internal/shared/sparkplug"
)

// repeats is how long after a message its repeat comes: by then it is committed.
const repeats = time.Second

// replay has everything that a cell sends of its units come a second time, a second later,
// in the cell's name: as a network that repeats messages, or whoever recorded them.
func replay(ctx context.Context, r *rig, target string) (cure, error) {
	return r.meanwhile(ctx, func(ctx context.Context) error {
		for ctx.Err() == nil {
			// That a connection ends, or that there is no broker, is as other faults want it.
			_ = r.replayed(ctx, target)
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
		return nil
	}, func(context.Context) error { return nil }), nil
}

// replayed listens to a cell and repeats what it says, for as long as the connections last.
func (r *rig) replayed(ctx context.Context, cell string) error {
	ear, err := r.join(ctx, factory.Collector, factory.Collector, "recorder")
	if err != nil {
		return err
	}
	defer func() { _ = ear.Close() }()
	if err := ear.subscribe("spBv1.0/" + groups[cell] + "/DDATA/" + cell + "/#"); err != nil {
		return err
	}
	mouth, err := r.join(ctx, cell, cell, sparkplug.ClientPrefix(groups[cell], cell)+"replayer")
	if err != nil {
		return err
	}
	defer func() { _ = mouth.Close() }()
	type due struct {
		message
		at time.Time
	}
	var queue []due
	mine := map[string]int{} // payloads of ours that are still to be heard
	for ctx.Err() == nil {
		m, ok, err := ear.next()
		if err != nil {
			return err
		}
		for len(queue) > 0 && time.Now().After(queue[0].at) {
			if err := mouth.publish(queue[0].message); err != nil {
				return err
			}
			mine[string(queue[0].payload)]++
			queue = queue[1:]
		}
		switch {
		case !ok:
		case mine[string(m.payload)] > 1:
			mine[string(m.payload)]--
		case mine[string(m.payload)] == 1:
			delete(mine, string(m.payload))
		default:
			queue = append(queue, due{m, time.Now().Add(repeats)})
		}
	}
	return nil
}
