package chaos

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"andon.internal/lab/factory"
)

func (r *rig) carrier(ctx context.Context, name, state string) error {
	return run(ctx, "ip", "-n", r.w.hub(), "link", "set", r.w.hosts[name].port, state)
}

func linkDown(ctx context.Context, r *rig, target string) (cure, error) {
	return func(ctx context.Context) error { return r.carrier(ctx, target, "up") }, r.carrier(ctx, target, "down")
}

// nowhere is a station that is not there: what is sent to it is gone, and nobody is told.
const nowhere = "02:00:00:00:00:01"

// silence loses all that one host sends to another.
func (r *rig) silence(ctx context.Context, from, to string) (cure, error) {
	h, peer := r.w.hosts[from], r.w.hosts[to]
	return func(ctx context.Context) error {
		return run(ctx, "ip", "-n", h.netns, "neigh", "del", peer.addr, "dev", "eth0")
	}, run(ctx, "ip", "-n", h.netns, "neigh", "replace", peer.addr, "lladdr", nowhere, "dev", "eth0", "nud", "permanent")
}

func unheard(ctx context.Context, r *rig, target string) (cure, error) {
	return r.silence(ctx, target, factory.Broker)
}

func deaf(ctx context.Context, r *rig, target string) (cure, error) {
	return r.silence(ctx, factory.Broker, target)
}

// flap takes the link down and up again, each for 200 ms to 2 s.
func flap(ctx context.Context, r *rig, target string) (cure, error) {
	rng := rand.New(rand.NewPCG(r.opt.Seed, uint64(r.round)))
	return r.meanwhile(ctx, func(ctx context.Context) error {
		for down := true; ; down = !down {
			state := "up"
			if down {
				state = "down"
			}
			if err := r.carrier(ctx, target, state); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(200*time.Millisecond + time.Duration(rng.Int64N(int64(1800*time.Millisecond)))):
			}
		}
	}, func(ctx context.Context) error { return r.carrier(ctx, target, "up") }), nil
}

// meanwhile does something until the cure, which then does what is last.
func (r *rig) meanwhile(ctx context.Context, do func(context.Context) error, last cure) cure {
	doing, end := context.WithCancel(ctx)
	var done sync.WaitGroup
	var err error
	done.Go(func() { err = do(doing) })
	return func(ctx context.Context) error {
		end()
		done.Wait()
		if doing.Err() != nil && ctx.Err() == nil && err != nil {
			err = nil // a command that the end interrupted
		}
		if e := last(ctx); e != nil {
			return e
		}
		return err
	}
}

func slow(ctx context.Context, r *rig, target string) (cure, error) {
	h := r.w.hosts[target]
	return func(ctx context.Context) error {
		return run(ctx, "tc", "-n", h.netns, "qdisc", "del", "dev", "eth0", "root")
	}, run(ctx, "tc", "-n", h.netns, "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", "64kbit", "burst", "4kb", "latency", "400ms")
}
