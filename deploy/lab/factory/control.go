package factory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"andon.internal/lab/cable"
	"andon.internal/lab/process"
	"andon.internal/shared/ops"
)

// Status is a factory at one moment.
type Status struct {
	DSN       string    `json:"dsn"`
	Broker    string    `json:"broker"` // MQTT address
	Pages     string    `json:"pages"`  // address of the command center
	Data      string    `json:"data"`   // the folder of everything
	Bin       string    `json:"bin"`
	Processes []Process `json:"processes"`
	Cells     []Wire    `json:"cells"`
}

// Process is one process of a factory.
type Process struct {
	Name   string        `json:"name"`
	State  process.State `json:"state"`
	PID    int           `json:"pid,omitempty"`
	Starts int           `json:"starts"`
	HTTP   string        `json:"http,omitempty"` // of /healthz, /readyz and /metrics
	Config string        `json:"config,omitempty"`
	Log    string        `json:"log"`
}

// Wire is a cell with its cable.
type Wire struct {
	Name  string      `json:"name"`
	Addr  string      `json:"address"` // what the agent connects to
	Cable cable.State `json:"cable"`
	// Buffered is how many readings the cell holds that are not yet acknowledged; nil
	// when the agent does not answer.
	Buffered *uint64 `json:"buffered"`
}

// Status returns what everything is doing. It asks the agents for a second at most.
func (f *Factory) Status(ctx context.Context) Status {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s := Status{DSN: f.DSN(), Broker: f.broker, Pages: f.pages, Data: f.opt.Dir, Bin: f.opt.Bin}
	for _, name := range f.order {
		m := f.members[name]
		now := m.Status()
		s.Processes = append(s.Processes, Process{
			Name: name, State: now.State, PID: now.PID, Starts: now.Starts,
			HTTP: m.http, Config: m.config, Log: m.log,
		})
	}
	for _, c := range f.opt.Cells {
		w := Wire{Name: c.Name, Cable: cable.Whole, Addr: f.broker}
		if wire := f.cables[c.Name]; wire != nil {
			w.Addr, w.Cable = wire.Addr(), wire.State()
		}
		if n, err := f.Buffered(ctx, c.Name); err == nil {
			w.Buffered = &n
		}
		s.Cells = append(s.Cells, w)
	}
	return s
}

func (f *Factory) cable(cell string) (*cable.Cable, error) {
	if c := f.cables[cell]; c != nil {
		return c, nil
	}
	names := slices.Sorted(maps.Keys(f.cables))
	return nil, ops.Hint(fmt.Errorf("there is no cable of a cell %q", cell), "there are: "+strings.Join(names, ", "))
}

// Cut cuts the cable of a cell; see [cable.Cable.Cut].
func (f *Factory) Cut(cell string, how cable.State) error {
	c, err := f.cable(cell)
	if err != nil {
		return err
	}
	return c.Cut(how)
}

// Heal mends the cable of a cell.
func (f *Factory) Heal(cell string) error {
	c, err := f.cable(cell)
	if err != nil {
		return err
	}
	return c.Heal()
}

// Limit bounds what a cell can send, in kilobytes a second; 0 lifts the bound.
func (f *Factory) Limit(cell string, kbps int) error {
	c, err := f.cable(cell)
	if err != nil {
		return err
	}
	return c.Limit(kbps)
}

// Kill ends a process with SIGKILL; it stays down until Restart.
func (f *Factory) Kill(name string) error {
	m, err := f.member(name)
	if err != nil {
		return err
	}
	return m.Kill()
}

// Restart starts a process that is down, or stops one that runs and starts it again.
// It returns when the process runs, which is before it is ready.
func (f *Factory) Restart(ctx context.Context, name string) error {
	m, err := f.member(name)
	if err != nil {
		return err
	}
	if err := m.Stop(); err != nil {
		return err
	}
	if err := m.Start(ctx); err != nil && !errors.Is(err, process.ErrRunning) {
		return err
	}
	return nil
}

// Stop ends a process in order; it stays down until Restart.
func (f *Factory) Stop(name string) error {
	m, err := f.member(name)
	if err != nil {
		return err
	}
	return m.Stop()
}

// Ready returns why a process is not ready, or nil.
func (f *Factory) Ready(ctx context.Context, name string) error {
	m, err := f.member(name)
	if err != nil {
		return err
	}
	if now := m.Status(); now.State != process.Running {
		return fmt.Errorf("%s is %s", name, now.State)
	}
	if m.http == "" {
		return nil
	}
	return askReady(ctx, m)
}

// PID returns the process id of a process, or 0 when it is down.
func (f *Factory) PID(name string) int {
	if m := f.members[name]; m != nil {
		return m.Status().PID
	}
	return 0
}
