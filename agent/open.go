package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/clock"
	"andon.internal/agent/guard"
	"andon.internal/agent/roster"
	"andon.internal/agent/sampler"
	"andon.internal/agent/source"
	"andon.internal/agent/source/replay"
	"andon.internal/agent/source/simulated"
	"andon.internal/agent/state"
	"andon.internal/agent/uplink"
	"andon.internal/shared/ops"
	"andon.internal/shared/rules"
	"andon.internal/shared/telemetry"
)

// sources reads the rules and makes the sources of the configuration.
func (a *Agent) sources(known []*telemetry.Profile) ([]source.Source, error) {
	var err error
	if a.rules, err = rules.All(a.cfg.Rules, known); err != nil {
		return nil, fmt.Errorf("load rules: %w", err)
	}
	with := shop{
		profiles: known, now: a.wall, log: a.log,
		replay: replay.NewMetrics(a.cfg.Registry), simulated: simulated.NewMetrics(a.cfg.Registry),
	}
	var out []source.Source
	var errs []error
	for _, s := range a.cfg.Sources {
		src, err := newSource(s, with)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, src)
	}
	if len(errs) > 0 {
		return nil, ops.UsageError(errors.Join(errs...), "andon-agent check --config FILE tries the sources")
	}
	return out, nil
}

// open opens everything, and notes how to close it.
func (a *Agent) open(known []*telemetry.Profile, sources []source.Source) error {
	a.began = time.Now()
	var err error
	if a.boot, err = clock.BootID(); err != nil {
		a.log.Warn("the machine has no boot id; readings cannot be dated by its uptime", "error", err)
	}
	if a.http, err = ops.Listen("andon-agent", a.cfg.HTTP, &a.health, a.cfg.Registry, a.log); err != nil {
		return err
	}
	a.steps.add("close http", a.http.Close)
	if twins := twinsOf(sources); len(twins) > 0 {
		for pattern, h := range twinHandlers(twins) {
			a.http.Handle(pattern, h)
		}
	}
	if err := a.openDisk(); err != nil {
		return err
	}
	a.openLocal()
	if a.roster, err = roster.Open(a.state, roster.Options{Logger: a.log, Late: !a.disk.loaded}); err != nil {
		return err
	}
	for _, p := range known { // so that records stay readable even where the state was lost
		if err := a.roster.Remember(p); err != nil {
			return err
		}
	}
	if err := a.openCertificates(); err != nil {
		return err
	}
	if err := a.newUplink(); err != nil {
		return err
	}
	return a.newSamplers(sources)
}

// startCounter counts starts, which also shows whether the state can be written.
const startCounter = "agent-start"

// openState opens the state. A damaged file is set aside: without it the agent knows
// of no units on test but those of cursors, and counts its sessions anew, which is
// better than not to start.
func (a *Agent) openState(path string) (*state.Store, error) {
	for tries := 0; ; tries++ {
		s, err := state.Open(path)
		if err == nil {
			if _, err = s.Next(startCounter); err == nil {
				return s, nil
			}
			err = errors.Join(err, s.Close())
		}
		if !errors.Is(err, state.ErrDamaged) || tries > 0 {
			return nil, err
		}
		aside := path + ".damaged-" + time.Now().UTC().Format("20060102T150405Z")
		a.log.Error("the state is damaged and set aside", "file", path, "as", aside, "error", err)
		if err := os.Rename(path, aside); err != nil {
			return nil, fmt.Errorf("set aside damaged state: %w", err)
		}
	}
}

func (a *Agent) bufferOptions() buffer.Options {
	b := a.cfg.Buffer
	policy, _ := buffer.ParsePolicy(b.Policy) // checked with the configuration
	return buffer.Options{
		Dir: filepath.Join(string(a.cfg.Data), "buffer"), BootID: a.boot,
		Linger: b.Linger, WriteAhead: b.Write == writeAhead, Retain: b.Retain,
		MaxDisk: int64(b.MaxDisk), MaxMemory: int64(b.MaxMemory),
		Policy: policy, ThinKeep: b.ThinKeep, Quota: b.Quota,
		Child: a.cfg.BufferChild, Logger: a.log, Metrics: buffer.NewMetrics(a.cfg.Registry),
	}
}

func (a *Agent) newUplink() (err error) {
	ops.TellPlaintext(a.cfg.Registry, a.log, a.cfg.MQTT.exposed(), a.cfg.MQTT.URL)
	cfg := uplink.Config{
		Node: telemetry.Node{Group: a.cfg.Group, ID: a.cfg.Node}, URL: a.cfg.MQTT.URL, TLS: a.certificates.store,
		PrimaryHost: a.cfg.MQTT.PrimaryHost, BacklogShare: a.cfg.MQTT.BacklogShare, MaxRate: int64(a.cfg.MQTT.MaxRate),
		Version: ops.Version(), Boot: a.boot, Clock: a.cfg.Clock, Health: a.heartbeat,
		Logger: a.log, Metrics: uplink.NewMetrics(a.cfg.Registry),
	}
	if a.certificates.store != nil {
		cfg.Told = a.certificates.clock.Confirm // whom the broker lets acknowledge has a certificate
	}
	a.uplink, err = uplink.New(cfg, a.buffer, a.roster, sessions{a.state})
	return err
}

func (a *Agent) newSamplers(sources []source.Source) error {
	a.metrics = sampler.NewMetrics(a.cfg.Registry)
	for i, src := range sources {
		cfg := a.samplerConfig(a.cfg.Sources[i].Name)
		if !a.cfg.Sources[i].rereadable() { // what a file says at full speed lasts no time
			cfg.Guard = guard.New(a.rules)
		}
		s, err := sampler.New(cfg, src, store{a.buffer, !a.cfg.Sources[i].rereadable()}, a.roster)
		if err != nil {
			return fmt.Errorf("source %s: %w", a.cfg.Sources[i].Name, err)
		}
		a.samplers = append(a.samplers, s)
	}
	return nil
}

func (a *Agent) samplerConfig(name string) sampler.Config {
	return sampler.Config{Name: name, Boot: a.boot, Clock: a.cfg.Clock, Logger: a.log, Metrics: a.metrics}
}
