package main

import (
	"fmt"

	"andon.internal/collector"
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
is the default, the tables are prepared or upgraded first.

  andon-collector run --config /etc/andon/collector.yaml
  andon-collector run --config collector.yaml --roles intake`
}

// Run runs the command.
func (r *runCmd) Run(e *env) error {
	c, err := r.load()
	if err != nil {
		return err
	}
	if r.Roles != nil {
		if c.Roles = r.Roles; collector.CheckRoles(c.Roles) != nil {
			return ops.UsageError(collector.CheckRoles(c.Roles), "for example --roles intake")
		}
	}
	log := ops.NewLogger(e.stderr, c.Log)
	col, err := collector.Open(e.ctx, c, log)
	if err != nil {
		return err
	}
	log.Info("collector starts", "version", ops.Version(), "roles", c.Roles, "host_id", c.HostID, "broker", c.MQTT.URL)
	err = col.Run(e.ctx)
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
func (m *migrateCmd) Run(e *env) error {
	c, err := m.load()
	if err != nil {
		return err
	}
	if err := collector.Migrate(e.ctx, c, ops.NewLogger(e.stderr, c.Log)); err != nil {
		return ops.Hint(err, "check database.dsn, and that PostgreSQL 15 or later runs there")
	}
	fmt.Fprintln(e.stdout, "the database is ready")
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
  andon-collector watch austin-line1/cell-07 --broker tcp://10.0.0.5:1883
  andon-collector watch +/+/engine-001 --json --config collector.yaml`
}

// Run runs the command.
func (w *watchCmd) Run(e *env) error {
	c := collector.DefaultConfig()
	if w.Config != "" {
		var err error
		if c, err = collector.Load(w.Config); err != nil {
			return err
		}
	} else if w.Broker != "" {
		c.MQTT.URL = w.Broker
		if err := c.MQTT.Check(); err != nil {
			return ops.UsageError(err, "for example --broker tcp://127.0.0.1:1883")
		}
	}
	c.Log.Level = "warn"
	return collector.Watch(e.ctx, c, w.Filter, w.JSON, e.stdout, ops.NewLogger(e.stderr, c.Log))
}

type auditCmd struct {
	configFlag
	Group string `placeholder:"ID" help:"Only this group."`
	Node  string `placeholder:"ID" help:"Only this node."`
	Unit  string `placeholder:"ID" help:"Only the runs of this unit."`
	JSON  bool   `help:"One JSON object instead of tables."`
}

// Help is shown below the flags.
func (auditCmd) Help() string {
	return `RUN: each time on test, in readings. MISSING were taken at the cell and are not
stored: still on the way, lost, or quarantined. EPOCH: each start of an agent, in
positions (messages). HOLES are on the way or still at the cell; LOST will not come.

  andon-collector audit --config collector.yaml
  andon-collector audit --config collector.yaml --unit engine-001 --json`
}

// Run runs the command.
func (a *auditCmd) Run(e *env) error {
	c, err := a.load()
	if err != nil {
		return err
	}
	filter := collector.AuditFilter{Group: a.Group, Node: a.Node, Unit: a.Unit}
	audit, err := collector.Audit(e.ctx, c, filter, ops.NewLogger(e.stderr, c.Log))
	if err != nil {
		return ops.Hint(err, "andon-collector check --config FILE tries the database")
	}
	if a.JSON {
		return collector.WriteAuditJSON(e.stdout, audit)
	}
	return collector.WriteAudit(e.stdout, audit)
}

type checkCmd struct {
	configFlag
}

// Help is shown below the flags.
func (checkCmd) Help() string {
	return `Reads the configuration, loads the profiles, connects to the broker and to the
database, and changes nothing. It exits with 1 when something is wrong.

  andon-collector check --config collector.yaml`
}

// Run runs the command.
func (k *checkCmd) Run(e *env) error {
	c, err := k.load()
	if err != nil {
		return err
	}
	bad := 0
	for _, f := range collector.Check(e.ctx, c, ops.NewLogger(e.stderr, c.Log)) {
		state := "ok"
		if f.Err != nil {
			state, bad = f.Err.Error(), bad+1
		}
		fmt.Fprintf(e.stdout, "%-9s %s\n", f.Name, state)
	}
	if bad > 0 {
		return fmt.Errorf("%d of the checks failed", bad)
	}
	return nil
}
