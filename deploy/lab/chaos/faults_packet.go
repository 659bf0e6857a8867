package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"andon.internal/lab/factory"
	"andon.internal/lab/relay"
)

// What a bad radio link does to single packets, in both directions. That it is done is
// seen by datagrams from the cell to the broker, before anything else.
var (
	packetLoss = harmed(relay.Harm{Loss: 0.1}, func(s relay.Seen) bool { return s.Lost > 0 && s.Lost < s.Sent })

	packetRepeat = harmed(relay.Harm{Repeat: 0.25}, func(s relay.Seen) bool { return s.Doubled > 0 })

	packetReorder = harmed(relay.Harm{Reorder: 0.25}, func(s relay.Seen) bool { return s.Disorder > 0 })

	packetDelay = harmed(relay.Harm{Delay: halfSecond}, func(s relay.Seen) bool { return s.Soonest >= halfSecond })
)

const halfSecond = 500 * time.Millisecond

// harmed leads the cable of a cell through a relay that harms packets, and back.
func harmed(h relay.Harm, took func(relay.Seen) bool) func(context.Context, *rig, string) (cure, error) {
	return func(ctx context.Context, r *rig, target string) (cure, error) {
		lead, back, err := r.detour(ctx, target, h)
		if err != nil {
			return back, err
		}
		to := r.w.hosts[factory.Broker]
		var seen relay.Seen
		// Nothing comes through where the relay takes the question for the address of the
		// broker twice; the next datagrams ask again.
		for tries := 0; tries < 4 && seen.Lost == seen.Sent; tries++ {
			if seen, err = relay.Probe(ctx, r.w.hosts[target].path(), to.path(), to.addr); err != nil {
				return back, err
			}
		}
		r.say("of %d datagrams %d were lost, %d doubled, %d late in order; the fastest took %v", seen.Sent, seen.Lost, seen.Doubled, seen.Disorder, seen.Soonest.Round(time.Millisecond))
		if !took(seen) {
			return back, fmt.Errorf("the relay before %s does not do what it should: %+v of %+v", target, lead.Counts(), h)
		}
		return back, nil
	}
}

// detour puts a relay between the cable of a host and the bridge. The cure takes it out.
func (r *rig) detour(ctx context.Context, name string, h relay.Harm) (*relay.Relay, cure, error) {
	port, hub := r.w.hosts[name].port, r.w.hub()
	side, near, far := "by-"+port, "near-"+port, "far-"+port
	lead, err := relay.Open("/run/netns/"+hub, near, far, r.opt.Seed+uint64(r.round)<<32, h)
	if err != nil {
		return nil, nil, err
	}
	back := func(ctx context.Context) error {
		c := lead.Counts()
		r.say("of %d frames of %s %d were lost, %d repeated, %d reordered, %d found no room", c.Frames, name, c.Lost, c.Repeated, c.Reordered, c.Overflow)
		return errors.Join(
			run(ctx, "ip", "-n", hub, "link", "set", port, "master", "br0"),
			run(ctx, "ip", "-n", hub, "link", "del", side),
			lead.Close(),
		)
	}
	for _, args := range [][]string{
		{"add", side, "type", "bridge"},
		{"set", side, "up"},
		{"set", near, "master", side, "up"},
		{"set", far, "master", "br0", "up"},
		{"set", port, "master", side},
	} {
		if err := run(ctx, "ip", append([]string{"-n", hub, "link"}, args...)...); err != nil {
			return nil, back, err
		}
	}
	return lead, back, nil
}
