package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/clock"
	"andon.internal/agent/local"
	"andon.internal/agent/roster"
	"andon.internal/agent/sampler"
	"andon.internal/agent/source"
	"andon.internal/agent/state"
	"andon.internal/agent/uplink"
	"andon.internal/shared/ops"
	"andon.internal/shared/profiles"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

// How long the parts may take to stop. A driver promises 100 ms; the uplink bounds
// its last round itself.
const (
	sourcePatience = 5 * time.Second
	uplinkPatience = 10 * time.Second
	diskPatience   = 30 * time.Second
	httpPatience   = 5 * time.Second
)

// stopTakes is how long a stop takes at most, whatever the network, a scraper or whoever asks
// at the socket does; of the five seconds that are promised the rest is the disk's.
const stopTakes = max(source.StopTakes+uplink.StopTakes, ops.StopTakes, local.StopTakes)

// Agent is one edge agent. New, then Open where its address is needed before Run,
// then Run once.
type Agent struct {
	cfg    Config
	log    *slog.Logger
	health ops.Health
	steps  steps

	opening sync.Mutex // over what follows, until Run
	opened  bool
	began   time.Time
	boot    [16]byte
	http    *ops.Server
	local   *local.Server // nil where there is none
	bare    bool          // it has no file
	state   *state.Front
	disk    disk
	card    *card
	buffer  *buffer.Buffer
	roster  *roster.Roster
	certificates
	rules    *sentinel.Rules // by which the samplers' guards judge
	uplink   *uplink.Uplink
	samplers []*sampler.Sampler
	metrics  *sampler.Metrics
	ended    atomic.Int64 // sources that have ended for good
}

// New returns an agent of the given configuration. It opens nothing yet. The error
// is that of the configuration's checks.
func New(cfg Config) (*Agent, error) {
	if err := cfg.checkAll(); err != nil {
		return nil, fmt.Errorf("agent configuration: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Now
	}
	if cfg.Registry == nil {
		cfg.Registry = ops.NewRegistry()
	}
	return &Agent{cfg: cfg, log: cfg.Logger, steps: steps{log: cfg.Logger}}, nil
}

// Open reads the profiles, opens the HTTP port and takes hold of the data folder:
// from here on no other agent can. It connects to nothing and reads no source. Run
// calls it if nobody did; after an error the agent is of no further use.
func (a *Agent) Open() error {
	a.opening.Lock()
	defer a.opening.Unlock()
	if a.opened {
		return nil
	}
	known, err := profiles.All(a.cfg.Profiles)
	if err == nil {
		var sources []source.Source
		if sources, err = a.sources(known); err == nil {
			err = a.open(known, sources)
		}
	}
	if err != nil {
		return errors.Join(err, a.steps.undo())
	}
	a.opened = true
	return nil
}

// HTTPAddr returns the address of /healthz, /readyz and /metrics, or "" when they
// are off or not open.
func (a *Agent) HTTPAddr() string {
	a.opening.Lock()
	defer a.opening.Unlock()
	if a.http == nil {
		return ""
	}
	return a.http.Addr()
}

// Run runs the agent until ctx ends, and then stops it against the flow: sources
// and samplers, one last round of the uplink, the roster, the buffer; HTTP and the socket end
// meanwhile. That takes stopTakes at most where the disk takes no time. The error is
// what could not be opened, or what did not stop as it should; what was taken until
// then is safe either way, unless it says that the buffer did not close. What ends a
// part before that is logged when it comes.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.Open(); err != nil {
		return err
	}
	a.addChecks()
	a.log.Info("agent starts", "version", ops.Version(), "group", a.cfg.Group, "node", a.cfg.Node,
		"epoch", telemetry.Epoch(a.buffer.Epoch()).String(), "broker", a.cfg.MQTT.URL, "data", string(a.cfg.Data))
	endHTTP := a.steps.start("http", httpPatience, a.http.Run)
	endSocket := a.steps.start("socket", httpPatience, a.runLocal)
	a.steps.add("try the disk once more", a.lastTry)
	a.steps.start("disk", diskPatience, a.watchDisk)
	a.steps.start("card", diskPatience, a.card.run)
	a.steps.start("roster", diskPatience, func(ctx context.Context) error { return exceptNoDisk(a.roster.Run(ctx)) })
	if a.certificates.store != nil {
		a.steps.start("clock", diskPatience, a.clock.Run)
		a.steps.start("certificate", diskPatience, a.keeper.Run)
	}
	a.steps.start("uplink", uplinkPatience, a.uplink.Run)
	a.steps.start("sources", sourcePatience, a.runSources)
	<-ctx.Done()
	a.log.Info("agent stops")
	endHTTP() // these wait for their clients, for as long as the uplink says farewell
	endSocket()
	err := a.steps.undo()
	a.log.Info("agent has stopped")
	return err
}

// runSources runs every sampler, and ends the runs of sources that are no longer
// configured.
func (a *Agent) runSources(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { a.endForgotten(ctx) })
	for i, s := range a.samplers {
		all.Go(func() {
			// The others go on, whatever ends this one.
			if err := s.Run(ctx); err != nil {
				a.log.Error("a source is not read any more", "source", a.cfg.Sources[i].Name, "error", err)
			}
			if ctx.Err() == nil && a.ended.Add(1) == int64(len(a.samplers)) {
				a.log.Info("all sources have ended; what is buffered is still sent, and the agent goes on")
			}
		})
	}
	all.Wait()
	return nil
}

// endForgotten ends the runs that belong to sources which have left the
// configuration: their units are on test nowhere.
func (a *Agent) endForgotten(ctx context.Context) {
	configured := map[string]bool{}
	for _, s := range a.cfg.Sources {
		configured[s.Name] = true
	}
	for _, name := range a.roster.Sources() {
		if configured[name] {
			continue
		}
		a.log.Info("a source has left the configuration; its runs end", "source", name)
		err := sampler.EndRuns(ctx, a.samplerConfig(name), store{buffer: a.buffer}, a.roster, "source removed")
		if err != nil && ctx.Err() == nil {
			a.log.Error("runs of a removed source go on", "source", name, "error", err)
		}
	}
}
