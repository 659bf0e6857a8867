package intake_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon.internal/collector/intake"
	"andon.internal/collector/intake/reply"
	"andon.internal/collector/session"
	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

const group, unit = "line1", "unit-1"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plant is a ledger in memory with its lease, which can be told to fail. It checks
// what a store must be able to rely on.
type plant struct {
	t testing.TB

	mu      sync.Mutex
	fail    error                       // of every call
	refuse  func([]session.Entry) error // of Commit alone, behind slow
	block   chan struct{}               // Commit waits for it to be closed
	slow    time.Duration               // how long Commit takes
	perByte time.Duration               // and for a byte of a record in memory
	longest time.Duration               // that a Commit took for these two
	synced  time.Duration               // how long Sync takes
	outcome func(session.Entry) intake.Outcome
	taken   bool // another process has the lease
	lost    bool // the lease that was given is no longer good

	stored  map[telemetry.Node]reply.Epochs
	busy    map[telemetry.Node]bool
	batches [][]session.Entry
	calls   []string
	renewed int
}

func newPlant(t testing.TB) *plant {
	return &plant{t: t, stored: map[telemetry.Node]reply.Epochs{}, busy: map[telemetry.Node]bool{}}
}

// set changes the plant between two calls.
func (p *plant) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *plant) log() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

func (p *plant) committed(n telemetry.Node, e telemetry.Epoch) ranges.Set {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stored[n][e].Clone()
}

func (p *plant) Acquire(context.Context, time.Duration) (intake.Lease, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.fail != nil:
		return nil, p.fail
	case p.taken:
		return nil, nil
	}
	p.calls = append(p.calls, "acquire")
	p.lost = false
	return p, nil
}

func (p *plant) errLocked() error {
	if p.lost {
		return intake.ErrLeaseLost
	}
	return p.fail
}

func (p *plant) Commit(ctx context.Context, batch []session.Entry) (intake.Committed, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.errLocked(); err != nil {
		return intake.Committed{}, err
	}
	nodes := map[telemetry.Node]bool{}
	for _, e := range batch {
		nodes[e.Node] = true
	}
	for n := range nodes {
		if p.busy[n] {
			p.t.Errorf("node %s is in two transactions", n)
		}
		p.busy[n] = true
		defer delete(p.busy, n)
	}
	took := p.slow
	for _, e := range batch {
		if e.Record != nil {
			took += p.perByte * time.Duration(e.Record.Size())
		}
	}
	if p.longest = max(p.longest, took); took > 0 {
		p.mu.Unlock()
		time.Sleep(took)
		p.mu.Lock()
	}
	if p.refuse != nil {
		if err := p.refuse(batch); err != nil {
			return intake.Committed{}, err
		}
	}
	if block := p.block; block != nil {
		p.mu.Unlock()
		select {
		case <-block:
		case <-ctx.Done():
		}
		p.mu.Lock()
		if err := errors.Join(ctx.Err(), p.errLocked()); err != nil {
			return intake.Committed{}, err
		}
	}
	p.calls = append(p.calls, "commit")
	p.batches = append(p.batches, batch)
	done := intake.Committed{Outcomes: slices.Repeat([]intake.Outcome{intake.Stored}, len(batch))}
	for i, e := range batch {
		if p.outcome != nil {
			if done.Outcomes[i] = p.outcome(e); done.Outcomes[i] < intake.Stored {
				continue
			}
		}
		epochs := p.stored[e.Node]
		if epochs == nil {
			epochs = reply.Epochs{}
			p.stored[e.Node] = epochs
		}
		set := epochs[e.Epoch]
		if set.Add(e.Position, e.Position+1) == 0 {
			done.Outcomes[i] = intake.Duplicate
		} else if e.Record != nil {
			done.Rows += e.Record.Len()
		}
		epochs[e.Epoch] = set
	}
	return done, nil
}

func (p *plant) Sync(_ context.Context, n telemetry.Node, b *session.Birth) (reply.Epochs, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.errLocked(); err != nil {
		return nil, err
	}
	if took := p.synced; took > 0 {
		p.mu.Unlock()
		time.Sleep(took)
		p.mu.Lock()
	}
	p.calls = append(p.calls, "sync")
	has := reply.Epochs{}
	for _, e := range b.Chain {
		has[e.Epoch] = p.stored[n][e.Epoch].Clone()
	}
	return has, nil
}

func (p *plant) UnitBorn(_ context.Context, _ telemetry.Node, u intake.Unit) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.errLocked(); err != nil {
		return err
	}
	p.calls = append(p.calls, "unit "+u.Name)
	return nil
}

func (p *plant) Renew(context.Context, time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renewed++
	return p.errLocked()
}

func (p *plant) renewals() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.renewed
}

func (p *plant) Release(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, "release")
	return p.fail
}

// refuseAll is for [plant.refuse].
func refuseAll(err error) func([]session.Entry) error {
	return func([]session.Entry) error { return err }
}
