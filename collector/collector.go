package collector

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"andon.internal/collector/feed"
	"andon.internal/collector/host"
	"andon.internal/collector/intake"
	"andon.internal/collector/sentry"
	"andon.internal/collector/store"
	"andon.internal/shared/alarm"
	"andon.internal/shared/ops"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// upkeepEvery is how often partitions are made ahead and dropped behind.
const upkeepEvery = time.Hour

// Collector is a wired collector, for [Collector.Run].
type Collector struct {
	log    *slog.Logger
	store  *store.Store
	host   *host.Host
	intake *intake.Intake // nil without the role, as all below
	feed   *feed.Feed
	sentry *sentry.Sentry
	http   *ops.Server
}

// Open wires a collector and opens its HTTP port. It connects to nothing else: broker
// and database may be away. A Collector that is not run must be closed.
func Open(ctx context.Context, c Config, log *slog.Logger) (*Collector, error) {
	if err := CheckRoles(c.Roles); err != nil {
		return nil, err
	}
	reg := ops.NewRegistry()
	s, err := openStore(ctx, c, log, reg)
	if err != nil {
		return nil, err
	}
	col := &Collector{log: log, store: s}
	if err := col.wire(c, reg); err != nil {
		s.Close()
		return nil, err
	}
	return col, nil
}

func (col *Collector) wire(c Config, reg *prometheus.Registry) error {
	health := &ops.Health{}
	if err := col.wireHost(c, reg, health); err != nil {
		return err
	}
	db := &database{store: col.store, holder: holder(), migrate: c.Database.Migrate, log: col.log}
	if slices.Contains(c.Roles, RoleIntake) {
		if err := col.wireIntake(c, db, reg, health); err != nil {
			return err
		}
	}
	var sinks []feed.Sink
	if slices.Contains(c.Roles, RoleSentinel) {
		if err := col.wireSentry(c, db, reg, health); err != nil {
			return err
		}
		sinks = append(sinks, col.sentry.Take)
	}
	if err := col.wireFeed(sinks, reg, health); err != nil {
		return err
	}
	var err error
	col.http, err = ops.Listen("andon-collector", c.HTTP, health, reg, col.log)
	return err
}

// wireHost makes the one connection to the broker that the roles share. Only the intake
// is a host application to the cells, so only it has a STATE.
func (col *Collector) wireHost(c Config, reg *prometheus.Registry, health *ops.Health) (err error) {
	hostID, filters := "", host.Filters()
	if slices.Contains(c.Roles, RoleIntake) {
		hostID = c.HostID
	}
	if slices.Contains(c.Roles, RoleSentinel) {
		filters[alarm.AckFilter] = 1
	}
	col.host, err = host.New(host.Config{
		URL: c.MQTT.URL, HostID: hostID, Filters: filters,
		Receive: func(m host.Message) {
			if col.intake != nil && strings.HasPrefix(m.Topic, sparkplug.Namespace+"/") {
				col.intake.Receive(m.Topic, m.Payload, m.Retained, m.Received)
			}
			if col.feed != nil {
				col.feed.Receive(m.Topic, m.Payload, m.Retained, m.Received)
			}
		},
		Connected: func() {
			if col.intake != nil {
				col.intake.Connected()
			}
			if col.feed != nil {
				col.feed.Connected()
			}
		},
		Logger: col.log.With("part", "host"), Metrics: host.NewMetrics(reg),
	})
	health.Ready("broker", func() error { return col.host.Connected() })
	return err
}

func (col *Collector) wireIntake(c Config, db *database, reg *prometheus.Registry, health *ops.Health) (err error) {
	col.intake, err = intake.New(intake.Config{
		Queue: int64(c.Intake.Queue), Writers: c.Intake.Writers, Flush: c.Intake.Flush,
		Logger: col.log.With("part", "intake"), Metrics: intake.NewMetrics(reg),
	}, col.host, leases{db})
	if err != nil {
		return err
	}
	health.Live("intake", col.intake.Alive)
	health.Ready("database", col.intake.Database)
	health.Ready("lease", col.intake.Lease)
	return nil
}

func (col *Collector) wireSentry(c Config, db *database, reg *prometheus.Registry, health *ops.Health) error {
	rules, err := c.rules()
	if err != nil {
		return err
	}
	col.sentry, err = sentry.New(sentry.Config{
		Rules: rules, Logger: col.log.With("part", "sentinel"), Metrics: sentry.NewMetrics(reg),
	}, col.host, journals{db})
	if err != nil {
		return err
	}
	health.Live("sentinel", col.sentry.Alive)
	health.Ready("alarms", col.sentry.Journal)
	return nil
}

// wireFeed makes the feed of the roles that look at live traffic, if there are any.
func (col *Collector) wireFeed(sinks []feed.Sink, reg *prometheus.Registry, health *ops.Health) (err error) {
	if len(sinks) == 0 {
		return nil
	}
	col.feed, err = feed.New(feed.Config{
		Ask: col.askBirths, Sinks: sinks, Logger: col.log.With("part", "feed"), Metrics: reg,
	})
	if err != nil {
		return err
	}
	health.Live("feed", col.feed.Alive)
	return nil
}

// askBirths sends a Rebirth to a node, and may lose it.
func (col *Collector) askBirths(n telemetry.Node) {
	topic := sparkplug.Topic{Type: sparkplug.NCmd, Group: n.Group, Node: n.ID}.String()
	if err := col.host.Publish(topic, sparkplug.AppendRebirth(nil, uint64(time.Now().UnixMilli()))); err != nil {
		col.log.Debug("births were not asked for", "node", n, "error", err)
	}
}

func openStore(ctx context.Context, c Config, log *slog.Logger, reg prometheus.Registerer) (*store.Store, error) {
	dsn, err := c.Database.Source()
	if err != nil {
		return nil, ops.UsageError(err, "put the connection string into the file that database.dsn_file names")
	}
	list, err := c.profiles()
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, store.Config{
		DSN: dsn, MaxConns: c.Database.MaxConns, Retention: c.Retention, Profiles: list,
		Logger: log.With("part", "store"), Metrics: store.NewMetrics(reg),
	})
	return s, ops.Hint(err, "database.dsn is a PostgreSQL connection string, such as postgres://andon@127.0.0.1:5432/andon")
}

// holder names this process among all that may want a lease.
func holder() string {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	return name + "/" + ulid.Make().String()
}

// HTTPAddr is the address of /healthz, /readyz and /metrics, or "" when they are off.
func (col *Collector) HTTPAddr() string { return col.http.Addr() }

// Close frees what Open took. It is not called after Run.
func (col *Collector) Close() error {
	col.store.Close()
	return col.http.Close()
}

// Run works until ctx ends and returns nil, or why the HTTP server stopped. It stops
// against the flow: the roles first, with their last acknowledgements, then the
// connection to the broker, then the database.
func (col *Collector) Run(ctx context.Context) error {
	defer col.store.Close()
	g, running := errgroup.WithContext(ctx)
	connected, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	defer disconnect()
	var roles sync.WaitGroup
	if col.feed != nil {
		roles.Go(func() { _ = col.feed.Run(running) }) // it returns nil, as the others do
	}
	if col.sentry != nil {
		roles.Go(func() { _ = col.sentry.Run(running) })
	}
	if col.intake != nil {
		roles.Go(func() { _ = col.intake.Run(running) })
		g.Go(func() error {
			col.upkeep(running)
			return nil
		})
	}
	g.Go(func() error {
		defer disconnect()
		<-running.Done()
		roles.Wait()
		return nil
	})
	g.Go(func() error { return col.host.Run(connected) })
	g.Go(func() error { return col.http.Run(running) })
	return g.Wait()
}

// upkeep keeps the partitions while this is the active intake.
func (col *Collector) upkeep(ctx context.Context) {
	var done time.Time
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if time.Since(done) < upkeepEvery || col.intake.Lease() != nil || col.intake.Database() != nil {
			continue
		}
		if err := col.store.Maintain(ctx); err != nil {
			if ctx.Err() == nil {
				col.log.Warn("upkeep of partitions is tried again", "error", err)
			}
			continue
		}
		done = time.Now()
	}
}

// Migrate prepares or upgrades the database of a configuration.
func Migrate(ctx context.Context, c Config, log *slog.Logger) error {
	s, err := openStore(ctx, c, log, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Migrate(ctx)
}

// AuditFilter says which part of the database to audit; empty fields mean all.
type AuditFilter = store.AuditFilter

// Audit compares what was expected with what is stored.
func Audit(ctx context.Context, c Config, f AuditFilter, log *slog.Logger) (store.Audit, error) {
	s, err := openStore(ctx, c, log, nil)
	if err != nil {
		return store.Audit{}, err
	}
	defer s.Close()
	return s.Audit(ctx, f)
}

// Finding is one line of [Check].
type Finding struct {
	Name string
	Err  error // nil: good
}

// Check tries what a configuration names: profiles, rules, broker, database. It changes
// nothing.
func Check(ctx context.Context, c Config, log *slog.Logger) []Finding {
	_, err := c.profiles()
	_, ruleErr := c.rules()
	findings := []Finding{{"profiles", err}, {"rules", ruleErr}, {"broker", host.Try(ctx, c.MQTT.URL)}}
	s, err := openStore(ctx, c, log, nil)
	if err == nil {
		defer s.Close()
		err = s.Ping(ctx)
	}
	return append(findings, Finding{"database", err})
}
