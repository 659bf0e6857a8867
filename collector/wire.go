package collector

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/collector/feed"
	"andon.internal/collector/host"
	"andon.internal/collector/intake"
	"andon.internal/collector/login"
	"andon.internal/collector/oidc"
	"andon.internal/collector/plant"
	"andon.internal/collector/presence"
	"andon.internal/collector/sentry"
	"andon.internal/collector/store"
	"andon.internal/collector/web"
	"andon.internal/shared/alarm"
	"andon.internal/shared/mtls"
	"andon.internal/shared/ops"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// wire makes the parts that the roles of a configuration need and joins them.
func (col *Collector) wire(ctx context.Context, c Config, reg *prometheus.Registry) error {
	health := &ops.Health{}
	var err error
	if col.audit, err = openAudit(col.store, col.log, reg); err != nil {
		return err
	}
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
	if slices.Contains(c.Roles, RoleWeb) {
		sink, err := col.wireWeb(ctx, c, reg, health)
		if err != nil {
			return err
		}
		sinks = append(sinks, sink)
	}
	if err := col.wireFeed(sinks, reg, health); err != nil {
		return errors.Join(err, col.closeWeb())
	}
	if col.http, err = ops.Listen("andon-collector", c.HTTP, health, reg, col.log); err != nil {
		return errors.Join(err, col.closeWeb())
	}
	return nil
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
	if slices.Contains(c.Roles, RoleWeb) {
		filters[alarm.StateFilter], filters[presence.Filter] = 1, 0
		col.roll = presence.NewRoll(time.Now(), RoleIntake, RoleSentinel)
	}
	certificates, err := c.MQTT.certificates(col.log)
	if err != nil {
		return err
	}
	ops.TellPlaintext(reg, col.log, c.MQTT.exposed(), c.MQTT.URL)
	col.host, err = host.New(host.Config{
		URL: c.MQTT.URL, TLS: certificates, HostID: hostID, Filters: filters,
		Receive: func(m host.Message) {
			if col.roll != nil && col.roll.Take(m.Received, m.Topic, m.Payload) {
				return
			}
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
			if col.sentry != nil {
				col.sentry.Connected()
			}
			if col.feed != nil {
				col.feed.Connected()
			}
			if col.roll != nil {
				col.roll.Connected(time.Now())
			}
		},
		Logger: col.log.With("part", "host"), Metrics: host.NewMetrics(reg),
	})
	// Pages alone stay ready: they say themselves that the broker is away.
	if slices.Contains(c.Roles, RoleIntake) || slices.Contains(c.Roles, RoleSentinel) {
		health.Ready("broker", func() error { return col.host.Connected() })
	}
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
	col.roles = append(col.roles, col.intakeRole())
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
		Rules: rules, Broker: col.host.Connected,
		Logger: col.log.With("part", "sentinel"), Metrics: sentry.NewMetrics(reg),
	}, col.host, journals{db})
	if err != nil {
		return err
	}
	col.roles = append(col.roles, col.sentinelRole())
	health.Live("sentinel", col.sentry.Alive)
	health.Ready("alarms", col.sentry.Journal)
	return nil
}

// wireWeb opens the pages' port and returns the sink that keeps their picture. The pages
// stay up and say what is away, so neither broker nor database makes them unready.
func (col *Collector) wireWeb(ctx context.Context, c Config, reg *prometheus.Registry, health *ops.Health) (feed.Sink, error) {
	sc, err := c.Database.Store()
	if err != nil {
		return nil, err
	}
	sc.MaxConns, sc.Logger = 0, col.log.With("part", "history")
	col.reader, err = store.OpenReader(ctx, sc)
	if err != nil {
		return nil, err
	}
	picture := plant.New(plant.Config{Metrics: plant.NewMetrics(reg)})
	s := web.Sources{
		Plant: picture, History: past{col.reader}, Journal: past{col.reader}, Acks: messenger{col.host},
		Audit: auditor{col.audit}, Broker: col.host.Connected, Roles: roll{col.roll}.absent,
		Ready: ops.Readiness("andon-collector", health, col.log),
	}
	if col.web, err = col.openWeb(c.Web, s, reg); err != nil {
		col.reader.Close()
		return nil, err
	}
	return painter{picture}.Take, nil
}

// openWeb makes the pages, with who may log in where they ask for it.
func (col *Collector) openWeb(c WebConfig, s web.Sources, reg *prometheus.Registry) (*web.Web, error) {
	location, err := c.location()
	if err != nil {
		return nil, err
	}
	log := col.log.With("part", "web")
	certificate, err := mtls.OpenServer(c.TLS, mtls.Options{Logger: log})
	if err != nil {
		return nil, ops.UsageError(err, "web.tls names the pages' certificate and its key")
	}
	e, limits := c.exposure(), c.Session.limits()
	if asks, _, _ := e.Asks(); asks { // web.Open reports its error
		s.Desk, err = login.New(login.Config{
			Accounts: col.reader, Limits: limits, Logger: col.log.With("part", "login"), Metrics: login.NewMetrics(reg),
		})
		if err == nil {
			s.SignOn, err = col.openSignOn(c.OIDC, oidc.Options{Logger: col.log.With("part", "oidc"), Metrics: reg})
		}
		if err != nil {
			return nil, err
		}
	}
	return web.Open(web.Config{
		Exposure: e, TLS: certificate, Limits: limits, Site: c.Site, Location: location, MaxClients: c.MaxClients,
		Logger: log, Metrics: web.NewMetrics(reg),
	}, s)
}

// closeWeb frees what wireWeb took.
func (col *Collector) closeWeb() error {
	if col.web == nil {
		return nil
	}
	col.reader.Close()
	return col.web.Close()
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
