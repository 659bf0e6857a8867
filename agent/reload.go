package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"andon.internal/agent/state"
	"andon.internal/shared/ops"
	"andon.internal/shared/profiles"
)

// Serve runs the agent of a configuration file until ctx ends. Whenever again has
// something, it reads the file anew: a configuration with a fault is told, every fault
// with its place, and changes nothing; a good one takes over by an orderly stop and start
// within the process, as by a restart: what was taken is acknowledged or on disk in
// between. Where the new agent does not open, the one before comes back. equip adds to a
// configuration what does not stand in the file.
func Serve[T any](ctx context.Context, path string, again <-chan T, equip func(*Config)) error {
	cfg, err := Load(path)
	if err != nil {
		return err
	}
	equip(&cfg)
	a, err := New(cfg)
	if err != nil {
		return err
	}
	for {
		boundMemory(int64(cfg.Buffer.MaxMemory))
		next, err := serve(ctx, a, again, func() (Config, bool) { return reread(path, &cfg) })
		if err != nil || next == nil {
			return err
		}
		equip(next)
		if a, err = opened(*next); err == nil {
			cfg = *next
			cfg.Logger.Info("the configuration was taken over", "file", path)
			continue
		}
		cfg.Logger.Error("the new configuration does not start; the one before comes back", "file", path, "error", err)
		if a, err = opened(cfg); err != nil {
			return fmt.Errorf("go back to the configuration before: %w", err)
		}
	}
}

// boundMemory has garbage collected sooner where the whole would take more than 18 MiB
// beside the records in memory: with a backlog, garbage would else grow to as much as they
// are. GOMEMLIMIT in the environment goes before.
func boundMemory(records int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(18<<20 + records)
	}
}

// serve runs an agent until ctx ends, or a configuration is there to take over, which it
// then returns.
func serve[T any](ctx context.Context, a *Agent, again <-chan T, reread func() (Config, bool)) (*Config, error) {
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- a.Run(run) }()
	for {
		select {
		case err := <-done:
			return nil, err
		case <-again:
			if fault := a.diskNow(); fault != nil {
				a.log.Error("the configuration is not taken over while the disk has a fault", "error", fault)
				continue
			}
			next, ok := reread()
			if !ok {
				continue
			}
			cancel()
			err := <-done
			if ctx.Err() != nil {
				return nil, err
			}
			if errors.Is(err, errStuck) { // it would go on beside the next one, in this process
				return nil, err
			}
			if err != nil { // what was taken is safe all the same, or the next one does not open
				a.log.Error("a part of the agent did not stop as it should", "error", err)
			}
			return &next, nil
		}
	}
}

// diskNow says what is wrong with the disk of an agent that may still be opening.
func (a *Agent) diskNow() error {
	a.opening.Lock()
	defer a.opening.Unlock()
	if !a.opened {
		return nil
	}
	return a.checkWrites()
}

func opened(cfg Config) (*Agent, error) {
	a, err := New(cfg)
	if err == nil {
		err = a.Open()
	}
	return a, err
}

// reread reads the file and tries all that can be tried beside a running agent.
func reread(path string, running *Config) (Config, bool) {
	cfg, err := Load(path)
	if err == nil {
		err = errors.Join(cfg.follows(running), cfg.tryParts())
	}
	if err == nil {
		return cfg, true
	}
	for fault := range strings.SplitSeq(err.Error(), "\n") {
		running.Logger.Error("the configuration has a fault and is not taken over; the one before goes on", "file", path, "fault", fault)
	}
	return cfg, false
}

// follows returns why a configuration cannot take the place of one that runs.
func (c *Config) follows(running *Config) error {
	var errs []error
	if c.Data != running.Data {
		errs = append(errs, fmt.Errorf("data: the folder %s cannot be left for %s while the agent runs: it holds the buffer; stop it, move the folder, and start", running.Data, c.Data))
	}
	if c.name() != running.name() {
		errs = append(errs, fmt.Errorf("group, node: a cell cannot become another while it runs: %s has the data folder", running.name()))
	}
	return errors.Join(errs...)
}

// tryParts makes what the configuration asks for, and opens none of it.
func (c *Config) tryParts() error {
	known, err := profiles.All(c.Profiles)
	if err != nil {
		return err
	}
	trial := *c
	trial.Logger, trial.Registry = nil, nil
	a, err := New(trial)
	if err == nil {
		_, err = a.sources(known)
	}
	return err
}

// name is how the cell is called.
func (c *Config) name() string { return c.Group + "/" + c.Node }

// Where the state keeps whose data folder it is.
const (
	nameBucket = "cell"
	nameKey    = "name"
)

// claim makes the data folder that of the cell, or says whose it is. What lies in a
// buffer was taken by one cell, and the ledger knows it by that cell's name: under another
// one readings would be booked for the wrong machine, and those whose acknowledgement was
// lost a second time.
func (a *Agent) claim(s *state.Store) error {
	b, err := s.Get(nameBucket, nameKey)
	if err != nil {
		return fmt.Errorf("read whose data folder it is: %w", err)
	}
	switch owner := string(b); owner {
	case a.cfg.name():
		return nil
	case "":
		if err := s.Put(nameBucket, nameKey, []byte(a.cfg.name())); err != nil {
			return fmt.Errorf("note whose data folder it is: %w", err)
		}
		return nil
	default:
		return ops.UsageError(fmt.Errorf("the data folder %s is that of the cell %s, and the configuration is of %s", a.cfg.Data, owner, a.cfg.name()),
			"give the new cell a data folder of its own; run the agent under the old name until andon-agent buffer ls shows that nothing is left")
	}
}
