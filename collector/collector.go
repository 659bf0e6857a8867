package collector

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"andon.internal/collector/auditlog"
	"andon.internal/collector/feed"
	"andon.internal/collector/host"
	"andon.internal/collector/intake"
	"andon.internal/collector/presence"
	"andon.internal/collector/sentry"
	"andon.internal/collector/store"
	"andon.internal/collector/web"
	"andon.internal/shared/ops"
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
	reader *store.Reader // for the pages
	web    *web.Web
	roll   *presence.Roll  // who does the other roles, for the pages
	roles  []presence.Role // those of this process that others want to know of
	http   *ops.Server
	audit  *auditlog.Writer
	does   string // the roles, and below what the configuration says, for the audit log
	digest string
}

// Open wires a collector and opens its HTTP port. It connects to nothing else: broker
// and database may be away. A Collector that is not run must be closed.
func Open(ctx context.Context, c Config, log *slog.Logger) (*Collector, error) {
	if err := CheckRoles(c.Roles); err != nil {
		return nil, err
	}
	reg := ops.NewRegistry()
	col := &Collector{log: log, does: c.does(), digest: c.digest()}
	s, err := openStore(ctx, c, log, reg, func(what string) { col.audit.Note(changed(what)) })
	if err != nil {
		return nil, err
	}
	col.store = s
	if err := col.wire(ctx, c, reg); err != nil {
		s.Close()
		return nil, err
	}
	return col, nil
}

// openStore makes the store of a configuration; changed is told what is done to its tables.
func openStore(ctx context.Context, c Config, log *slog.Logger, reg prometheus.Registerer, changed func(what string)) (*store.Store, error) {
	sc, err := c.Database.Store()
	if err != nil {
		return nil, err
	}
	c.Database.warn(log)
	if sc.Profiles, err = c.profiles(); err != nil {
		return nil, err
	}
	sc.Retention, sc.Logger, sc.Metrics, sc.Changed = c.Retention, log.With("part", "store"), store.NewMetrics(reg), changed
	s, err := store.Open(ctx, sc)
	return s, ops.Hint(err, dsnHint)
}

// holder names this process among all that may want a lease.
func holder() string {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	return name + "/" + ulid.Make().String()
}

// PagesAddr is the address of the command center, or "" without the role web.
func (col *Collector) PagesAddr() string {
	if col.web == nil {
		return ""
	}
	return col.web.Addr()
}

// HTTPAddr is the address of /healthz, /readyz and /metrics, or "" when they are off.
func (col *Collector) HTTPAddr() string { return col.http.Addr() }

// Close frees what Open took. It is not called after Run.
func (col *Collector) Close() error {
	col.store.Close()
	return errors.Join(col.closeWeb(), col.http.Close())
}

// Run works until ctx ends and returns nil, or why the HTTP server stopped. It stops
// against the flow: the roles first, with their last acknowledgements, then the
// connection to the broker, then the audit log, then the database.
func (col *Collector) Run(ctx context.Context) (err error) {
	defer col.store.Close()
	stop := col.startAudit(ctx)
	defer func() { stop(err) }()
	if col.reader != nil {
		defer col.reader.Close()
	}
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
	if col.web != nil {
		g.Go(func() error { return col.web.Run(running) })
	}
	if len(col.roles) > 0 {
		g.Go(func() error {
			col.say(running)
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
