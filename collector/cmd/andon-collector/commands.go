package main

import (
	"context"
	"fmt"
	"time"

	"andon.internal/collector"
	"andon.internal/collector/health"
	"andon.internal/shared/cli"
	"andon.internal/shared/config"
	"andon.internal/shared/ops"
)

// configFlag is the flag of every command that needs a configuration.
type configFlag struct {
	Config string `required:"" placeholder:"FILE" help:"The configuration file."`
}

func (f configFlag) load() (collector.Config, error) { return collector.Load(f.Config) }

type runCmd struct {
	configFlag
	Roles []string `placeholder:"ROLE" help:"Only these roles, instead of the configuration's."`
}

// Help is shown below the flags.
func (runCmd) Help() string {
	return `Broker and database may be away: they are waited for. With database.migrate, which
is the default, the tables are prepared or upgraded first. The roles are intake (stores
the readings), sentinel (runs the rules) and web (serves the command center); each can
be a process of its own.

  andon-collector run --config /etc/andon/collector.yaml
  andon-collector run --config collector.yaml --roles sentinel`
}

// Run runs the command.
func (r *runCmd) Run(ctx context.Context, e *cli.Env) error {
	c, err := r.load()
	if err != nil {
		return err
	}
	if r.Roles != nil {
		if c.Roles = r.Roles; collector.CheckRoles(c.Roles) != nil {
			return ops.UsageError(collector.CheckRoles(c.Roles), "for example --roles intake")
		}
	}
	log := ops.NewLogger(e.Stderr, c.Log)
	col, err := collector.Open(ctx, c, log)
	if err != nil {
		return err
	}
	log.Info("collector starts", "version", ops.Version(), "roles", c.Roles, "host_id", c.HostID, "broker", c.MQTT.URL)
	err = col.Run(ctx)
	log.Info("collector stops")
	return err
}

type migrateCmd struct {
	configFlag
}

// Help is shown below the flags.
func (migrateCmd) Help() string {
	return `Creates or upgrades the tables, and those of every profile. It may be repeated, and
while collectors run.

  andon-collector migrate --config collector.yaml`
}

// Run runs the command.
func (m *migrateCmd) Run(ctx context.Context, e *cli.Env) error {
	c, err := m.load()
	if err != nil {
		return err
	}
	if err := collector.Migrate(ctx, c, ops.NewLogger(e.Stderr, c.Log)); err != nil {
		return ops.Hint(err, "check the part database of the configuration, and that PostgreSQL 15 or later runs there")
	}
	fmt.Fprintln(e.Stdout, "the database is ready")
	return nil
}

type watchCmd struct {
	Filter string `arg:"" optional:"" help:"GROUP, GROUP/NODE or GROUP/NODE/UNIT, with + for any; or a topic filter that begins with spBv1.0/."`
	Config string `placeholder:"FILE" xor:"source" help:"Take the broker and the profiles from this configuration."`
	Broker string `placeholder:"URL" xor:"source" help:"The broker's address; tcp://127.0.0.1:1883."`
	JSON   bool   `help:"One JSON object a line."`
}

// Help is shown below the flags.
func (watchCmd) Help() string {
	return `Shows births, records with their values by name, acknowledgements, states and
deaths. It only listens.

  andon-collector watch
  andon-collector watch austin-line1/cell-07 --broker tcp://127.0.0.1:1884
  andon-collector watch +/+/engine-001 --json --config collector.yaml`
}

// Run runs the command.
func (w *watchCmd) Run(ctx context.Context, e *cli.Env) error {
	c := collector.DefaultConfig()
	if w.Config != "" {
		var err error
		if c, err = collector.Load(w.Config); err != nil {
			return err
		}
	} else if w.Broker != "" {
		c.MQTT.URL = w.Broker
		if err := c.MQTT.Check(); err != nil {
			return ops.UsageError(err, "for example --broker tcp://127.0.0.1:1883; on another machine, --config with mqtt.tls")
		}
	}
	c.Log.Level = "warn"
	return collector.Watch(ctx, c, w.Filter, w.JSON, e.Stdout, ops.NewLogger(e.Stderr, c.Log))
}

type checkCmd struct {
	configFlag
}

// Help is shown below the flags.
func (checkCmd) Help() string {
	return `Reads the configuration, loads profiles and rules, connects to the broker and to the
database, and changes nothing. It exits with 1 when something is wrong.

  andon-collector check --config collector.yaml`
}

// Run runs the command.
func (k *checkCmd) Run(ctx context.Context, e *cli.Env) error {
	c, err := k.load()
	if err != nil {
		return err
	}
	bad := 0
	for _, f := range collector.Check(ctx, c, ops.NewLogger(e.Stderr, c.Log)) {
		state := "ok"
		if f.Err != nil {
			state, bad = f.Err.Error(), bad+1
		}
		fmt.Fprintf(e.Stdout, "%-9s %s\n", f.Name, state)
	}
	if bad > 0 {
		return fmt.Errorf("%d of the checks failed", bad)
	}
	return nil
}

type healthCmd struct {
	Config    string        `placeholder:"FILE" xor:"plant" required:"" help:"Look at the plant of this configuration."`
	URL       string        `name:"url" placeholder:"URL" xor:"plant" required:"" help:"Ask the collector at this address instead, over HTTPS."`
	TokenFile string        `placeholder:"FILE" help:"With --url: a file with the bearer token to send."`
	Window    time.Duration `default:"24h" help:"With --config: how far back losses and quarantined records count."`
	Retired   []string      `placeholder:"GROUP/NODE" help:"With --config: cells that are not missed when they are silent."`
	JSON      bool          `help:"One JSON object instead of text."`
}

// Help is shown below the flags.
func (healthCmd) Help() string {
	return `Asks the database, and listens to the broker for the cells' heartbeats; it changes
nothing and takes 5 s at most. It exits with 0 when all is well; with 1 when somebody
should look: a silent cell, a backlog, a loss, a record set aside; and with 2 when
readings do not reach the database, or the command cannot be run at all.

With --url it asks the /readyz of a running collector, from wherever that can be
reached: at the address of its pages, with a token of the scope health (see
andon-collector token add), or of a proxy before them.

  andon-collector health --config /etc/andon/collector.yaml
  andon-collector health --config collector.yaml --retired austin-line1/cell-03 --json
  andon-collector health --url https://andon.example.com --token-file token`
}

// Run runs the command.
func (h *healthCmd) Run(ctx context.Context, e *cli.Env) error {
	e.Code = 2 // what could not be looked at is not well, also when a signal ends it
	report, err := h.look(ctx, e)
	if err != nil {
		return err
	}
	e.Code = report.ExitCode()
	if h.JSON {
		return report.WriteJSON(e.Stdout)
	}
	return report.WriteText(e.Stdout)
}

func (h *healthCmd) look(ctx context.Context, e *cli.Env) (health.Report, error) {
	if h.URL == "" {
		c, err := collector.Load(h.Config)
		if err != nil {
			return health.Report{}, err
		}
		c.Log.Level = "error" // the report says it
		o := collector.HealthOptions{Window: h.Window, Retired: h.Retired}
		return collector.Health(ctx, c, o, ops.NewLogger(e.Stderr, c.Log))
	}
	if err := health.CheckURL(h.URL); err != nil {
		return health.Report{}, ops.UsageError(err, "for example --url https://andon.example.com")
	}
	token := ""
	if h.TokenFile != "" {
		var err error
		if token, err = config.ReadSecret(h.TokenFile); err != nil {
			return health.Report{}, ops.UsageError(err, "--token-file names a file with nothing but the token")
		}
	}
	return health.Ask(ctx, h.URL, token)
}
