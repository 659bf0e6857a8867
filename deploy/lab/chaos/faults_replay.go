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
	repeated := 0
	r.after = append(r.after, func(ctx context.Context, out *Round) error { return r.replayedWhole(ctx, target, out) })
	return r.meanwhile(ctx, func(ctx context.Context) error {
		for ctx.Err() == nil {
			// That a connection ends, or that there is no broker, is as other faults want it.
			n, _ := r.replayed(ctx, target)
			repeated += n
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
		return nil
	}, func(context.Context) error {
		r.say("%d messages of %s were repeated", repeated, target)
		return nil
	}), nil
}

// replayedWhole repeats once more when all is whole: then nothing may keep it from that.
func (r *rig) replayedWhole(ctx context.Context, cell string, out *Round) error {
	bounded, cancel := context.WithTimeout(ctx, 4*repeats)
	defer cancel()
	n, err := r.replayed(bounded, cell)
	if n == 0 && ctx.Err() == nil {
		out.unexplained("nothing that %s sends could be repeated: %v", cell, err)
	}
	return ctx.Err()
}

// replayed listens to a cell and repeats what it says, for as long as the connections last.
// It returns how many messages it repeated.
func (r *rig) replayed(ctx context.Context, cell string) (n int, err error) {
	ear, err := r.join(ctx, factory.Collector, factory.Collector, "recorder")
	if err != nil {
		return n, err
	}
	defer func() { _ = ear.Close() }()
	if err := ear.subscribe("spBv1.0/" + groups[cell] + "/DDATA/" + cell + "/#"); err != nil {
		return n, err
	}
	mouth, err := r.join(ctx, cell, cell, sparkplug.ClientPrefix(groups[cell], cell)+"replayer")
	if err != nil {
		return n, err
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
			return n, err
		}
		for len(queue) > 0 && time.Now().After(queue[0].at) {
			if err := mouth.publish(queue[0].message); err != nil {
				return n, err
			}
			mine[string(queue[0].payload)]++
			n++
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
	return n, nil
}
