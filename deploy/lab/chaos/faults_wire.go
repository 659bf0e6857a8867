package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/factory"
	"andon.internal/shared/profiles"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// poison is a message that names a record, under the identity of a cell, and is none: it
// belongs into quarantine, once, however often it comes.
type poison struct {
	cell     string
	epoch    telemetry.Epoch
	position uint64
}

// poisoned is what was sent malformed in a world. It is safe for concurrent use.
type poisoned struct {
	mu   sync.Mutex
	sent map[poison]map[string]bool // with the payloads, which name the session of their time
}

// noted remembers that a payload goes out.
func (p *poisoned) noted(m poison, payload []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sent == nil {
		p.sent = map[poison]map[string]bool{}
	}
	if p.sent[m] == nil {
		p.sent[m] = map[string]bool{}
	}
	p.sent[m][string(payload)] = true
}

// of returns the poisons of a cell, in the order of their positions.
func (p *poisoned) of(cell string) []poison {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []poison
	for m := range p.sent {
		if m.cell == cell {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b poison) int { return int(a.position) - int(b.position) })
	return out
}

// malformed has somebody with the certificate of a cell publish what is no message: under
// the cell's own topics, under those of the other one, and as its acknowledgement.
func malformed(ctx context.Context, r *rig, target string) (cure, error) {
	rng := rand.New(rand.NewPCG(r.opt.Seed, uint64(r.round)+2<<32))
	r.after = append(r.after, func(ctx context.Context, out *Round) error { return r.antidote(ctx, target, rng, out) })
	return r.meanwhile(ctx, func(ctx context.Context) error {
		for ctx.Err() == nil {
			// That the broker is down, or ends the connection, is as it should be.
			_ = r.attack(ctx, target, r.poisons(target, rng), rng)
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
		}
		return nil
	}, func(context.Context) error { return nil }), nil
}

// poisons returns two that are new.
func (r *rig) poisons(cell string, rng *rand.Rand) []poison {
	before := r.poisoned.of(cell)
	next := poison{cell: cell}
	if len(before) > 0 {
		next = before[len(before)-1]
		next.position++
	} else {
		// An epoch of the attacker's own: in the cell's it would be a fork of its chain.
		for i := range next.epoch {
			next.epoch[i] = byte(rng.Uint32())
		}
		next.epoch[0] &= 0x01
	}
	second := next
	second.position++
	return []poison{next, second}
}

// attack sends poisons and what goes with them, once each.
func (r *rig) attack(ctx context.Context, cell string, poisons []poison, rng *rand.Rand) error {
	s, err := r.status(ctx, cell)
	if err != nil {
		return err
	}
	c, err := r.join(ctx, cell, cell, sparkplug.ClientPrefix(groups[cell], cell)+"attacker")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for _, p := range poisons {
		m := p.message(s.Link.Session)
		r.poisoned.noted(p, m.payload)
		if err := c.publish(m); err != nil {
			return err
		}
	}
	for _, m := range slices.Concat(garbage(cell, rng), forbidden(cell, rng)) {
		if err := c.publish(m); err != nil {
			return err
		}
	}
	return c.settled()
}

// message makes a poison: a loss that comes as a unit's data, or a record that comes as the
// node's.
func (p *poison) message(session uint64) message {
	h := sparkplug.Header{Epoch: p.epoch, Position: p.position, Session: session}
	now := time.Now()
	topic := sparkplug.Topic{Type: sparkplug.DData, Group: groups[p.cell], Node: p.cell, Device: "stranger"}
	if p.position%2 == 0 {
		l := telemetry.Loss{Epoch: p.epoch, From: 1 << 20, To: 1<<20 + 1, Reason: telemetry.LossOverflow}
		return message{topic.String(), sparkplug.AppendLoss(nil, h, l, uint64(now.UnixMilli()), 0)}
	}
	topic = sparkplug.Topic{Type: sparkplug.NData, Group: groups[p.cell], Node: p.cell}
	profile := profiles.Builtin()[0]
	record := &telemetry.Record{
		Unit: "stranger", Profile: profile, Born: now.UnixNano(), Times: []int64{now.UnixNano()},
		Values: make([]telemetry.Value, len(profile.Signals)), Qualities: make([]telemetry.Quality, 1),
	}
	return message{topic.String(), sparkplug.AppendRecord(nil, h, record, 1, uint64(now.UnixMilli()), 0, false)}
}

// garbage is bytes under a cell's own topics: nobody can tell what they were.
func garbage(cell string, rng *rand.Rand) []message {
	noise := make([]byte, 1+rng.IntN(2000))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	noise[0] = 0x07 // a wire type that there is not
	return []message{{"spBv1.0/" + groups[cell] + "/DDATA/" + cell + "/stranger", noise}}
}

// forbidden is what a cell may not publish: for another, and as an acknowledgement.
func forbidden(cell string, rng *rand.Rand) []message {
	forged := []byte("\x12\x2b\x0a\x09Andon/Ack\x20\x0c\x7a\x1ce=00000000000000000000000000:[0,99)")
	var out []message
	for _, name := range cells {
		out = append(out, message{"spBv1.0/" + groups[name] + "/NCMD/" + name, forged})
		if name != cell {
			out = append(out, garbage(name, rng)...)
		}
	}
	return out
}

// counters are what must have counted a last attack, while all is whole.
var counters = []struct{ process, name string }{
	{factory.Collector, `andon_intake_dropped_total{reason="undecodable"}`},
	{factory.Broker, `andon_broker_denied_total{action="publish"}`},
}

// antidote sends every poison that is not in quarantine again, since at QoS 0 what breaks
// on its way is gone, and then garbage that must be counted message by message.
func (r *rig) antidote(ctx context.Context, cell string, rng *rand.Rand, out *Round) error {
	var before [2]float64
	for i, c := range counters {
		m, err := r.f.Metrics(ctx, c.process)
		if err != nil {
			return err
		}
		before[i] = m[c.name]
	}
	attacks := 0
	missing := r.poisons(cell, rng)
	for end := time.Now().Add(20 * time.Second); len(missing) > 0; {
		if time.Now().After(end) {
			out.unexplained("%d malformed records of %s are not in quarantine", len(missing), cell)
			break
		}
		if err := r.attack(ctx, cell, missing, rng); err == nil {
			attacks++
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
		var err error
		if missing, err = r.unquarantined(ctx, cell); err != nil {
			return err
		}
	}
	r.say("malformed: all %d records under the name of %s are in quarantine, once", len(r.poisoned.of(cell)), cell)
	sent := float64(attacks)
	for i, want := range []float64{sent, 3 * sent} {
		m, err := r.f.Metrics(ctx, counters[i].process)
		if err != nil {
			return err
		}
		if got := m[counters[i].name] - before[i]; got != want {
			out.unexplained("%s counts %v, of %v messages", counters[i].name, got, want)
		}
	}
	return nil
}

// unquarantined returns the poisons of a cell that are not in quarantine.
func (r *rig) unquarantined(ctx context.Context, cell string) ([]poison, error) {
	conn, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	there, err := readQuarantine(ctx, conn)
	return slices.DeleteFunc(r.poisoned.of(cell), func(p poison) bool { return there[p] != nil }), err
}

// readQuarantine reads the payloads of what is quarantined whole.
func readQuarantine(ctx context.Context, conn *pgx.Conn) (map[poison][]string, error) {
	rows, err := conn.Query(ctx, `select n.node_id, e.epoch_id, q.position, q.payload
		from quarantine q join epoch e using (epoch_key) join node n using (node_key)`)
	if err != nil {
		return nil, fmt.Errorf("read quarantine: %w", err)
	}
	out := map[poison][]string{}
	var p poison
	var id string
	var payload []byte
	_, err = pgx.ForEachRow(rows, []any{&p.cell, &id, &p.position, &payload}, func() (err error) {
		p.epoch, err = telemetry.ParseEpoch(id)
		out[p] = append(out[p], string(payload))
		return err
	})
	return out, err
}

// judgeQuarantine finds what is in quarantine and was not sent malformed, and what was and is
// there otherwise than once, as it was sent, and in the ledger.
func (r *rig) judgeQuarantine(ctx context.Context, conn *pgx.Conn, ledger uint64, out *Round) error {
	there, err := readQuarantine(ctx, conn)
	if err != nil {
		return err
	}
	r.poisoned.mu.Lock()
	defer r.poisoned.mu.Unlock()
	for p, payloads := range there {
		if sent := r.poisoned.sent[p]; len(payloads) != 1 || !sent[payloads[0]] {
			out.unexplained("quarantine has %d entries of %s, epoch %s position %d, which were not sent so", len(payloads), p.cell, p.epoch.Short(), p.position)
		}
	}
	for p := range r.poisoned.sent {
		if there[p] == nil {
			out.unexplained("quarantine lacks the malformed record of %s, epoch %s position %d", p.cell, p.epoch.Short(), p.position)
		}
	}
	if ledger != uint64(len(r.poisoned.sent)) {
		out.unexplained("the ledger has %d quarantined positions, %d malformed records were sent", ledger, len(r.poisoned.sent))
	}
	return nil
}
