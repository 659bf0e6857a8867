package collector

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"andon.internal/collector/health"
	"andon.internal/collector/host"
	"andon.internal/collector/store"
	"andon.internal/shared/ops"
)

// HealthOptions say what a look at the plant makes of what it sees.
type HealthOptions struct {
	Window  time.Duration // how far back losses and quarantined entries count
	Retired []string      // cells, as GROUP/NODE, that are not missed
}

// Health takes one look at the plant of a configuration: at its database, its broker,
// and over that at its cells. It returns an error when the configuration cannot be
// used, or ctx ends; what is away is in the report.
func Health(ctx context.Context, c Config, o HealthOptions, log *slog.Logger) (health.Report, error) {
	sc, err := c.Database.Store()
	if err != nil {
		return health.Report{}, err
	}
	if sc.Profiles, err = c.profiles(); err != nil {
		return health.Report{}, err
	}
	sc.MaxConns, sc.Logger, sc.LockTimeout, sc.StatementTimeout = 2, log, time.Second, health.Limit
	s, err := store.Open(ctx, sc)
	if err != nil {
		return health.Report{}, ops.UsageError(err, dsnHint)
	}
	defer s.Close()
	var leases []string
	if slices.Contains(c.Roles, RoleSentinel) {
		leases = []string{sentinelLease}
	}
	return health.Look(ctx, health.Sources{
		Database: func(ctx context.Context) (health.Facts, error) {
			h, err := s.Health(ctx, o.Window)
			return facts(h), err
		},
		Broker: func(ctx context.Context, hear func(string, []byte, bool)) error {
			return listen(ctx, c, hear, log)
		},
		Leases: leases, HostID: c.HostID, Window: o.Window, Retired: o.Retired,
	})
}

// facts puts what the store says into the words of package health.
func facts(h store.Health) health.Facts {
	var f health.Facts
	for _, l := range h.Leases {
		f.Leases = append(f.Leases, health.Lease(l))
	}
	for _, n := range h.Nodes {
		f.Nodes = append(f.Nodes, health.Node(n))
	}
	for _, t := range h.Lost {
		f.Lost = append(f.Lost, health.Trouble(t))
	}
	for _, t := range h.Quarantined {
		f.Quarantined = append(f.Quarantined, health.Trouble(t))
	}
	for _, d := range h.Ahead {
		f.Ahead = append(f.Ahead, health.Days(d))
	}
	return f
}

// listen hears the signs of life on the broker until ctx ends. It returns at once
// when the broker does not take it.
func listen(ctx context.Context, c Config, hear func(string, []byte, bool), log *slog.Logger) error {
	certificates, err := c.MQTT.certificates(log)
	if err == nil {
		err = host.Try(ctx, c.MQTT.URL, certificates)
	}
	if err != nil {
		return err
	}
	h, err := host.New(host.Config{
		URL: c.MQTT.URL, TLS: certificates, Filters: atMostOnce(health.Topics(c.HostID)), Logger: log,
		Receive: func(m host.Message) { hear(m.Topic, m.Payload, m.Retained) },
	})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan error, 1)
	go func() { done <- h.Run(running) }()
	<-ctx.Done()
	heard := h.Connected() // before it says goodbye
	stop()
	if err := <-done; err != nil {
		return err
	}
	return heard
}
