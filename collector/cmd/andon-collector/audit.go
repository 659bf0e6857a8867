package main

import (
	"context"
	"fmt"
	"time"

	"andon.internal/collector"
	"andon.internal/shared/cli"
	"andon.internal/shared/ops"
)

type auditCmd struct {
	Readings  auditReadingsCmd  `cmd:"" default:"withargs" help:"Account for every position and reading; what audit alone does."`
	VerifyLog auditVerifyLogCmd `cmd:"" name:"verify-log" help:"Verify the chain of the audit log."`
	Head      auditHeadCmd      `cmd:"" help:"Print the head of the audit log, to be kept elsewhere."`
	Log       auditLogCmd       `cmd:"" help:"List the audit log: who did what."`
}

// Help is shown below the commands.
func (auditCmd) Help() string {
	return `Without a command it accounts for readings. The others are about the audit log, the
record of who did what.

  andon-collector audit --config collector.yaml
  andon-collector audit --config collector.yaml --unit engine-001 --json
  andon-collector audit verify-log --config collector.yaml`
}

type auditReadingsCmd struct {
	configFlag
	Group string `placeholder:"ID" help:"Only this group."`
	Node  string `placeholder:"ID" help:"Only this node."`
	Unit  string `placeholder:"ID" help:"Only the runs of this unit."`
	JSON  bool   `help:"One JSON object instead of tables."`
}

// Help is shown below the flags.
func (auditReadingsCmd) Help() string {
	return `RUN: each time on test, in readings. MISSING were taken at the cell and are not
stored: still on the way, lost, or quarantined. EPOCH: each start of an agent, in
positions (messages). HOLES are on the way or still at the cell; LOST will not come.

  andon-collector audit --config collector.yaml
  andon-collector audit --config collector.yaml --unit engine-001 --json`
}

// Run runs the command.
func (a *auditReadingsCmd) Run(ctx context.Context, e *cli.Env) error {
	c, err := a.load()
	if err != nil {
		return err
	}
	filter := collector.AuditFilter{Group: a.Group, Node: a.Node, Unit: a.Unit}
	audit, err := collector.Audit(ctx, c, filter, ops.NewLogger(e.Stderr, c.Log))
	if err != nil {
		return ops.Hint(err, "andon-collector check --config FILE tries the database")
	}
	if a.JSON {
		return collector.WriteAuditJSON(e.Stdout, audit)
	}
	return collector.WriteAudit(e.Stdout, audit)
}

// tryDatabase is the hint where the audit log cannot be read.
const tryDatabase = "andon-collector check --config FILE tries the database"

type auditVerifyLogCmd struct {
	configFlag
	Head  []string `placeholder:"SEQ:HASH" help:"A head that was noted before, which the log must still hold. May be repeated."`
	Heads string   `placeholder:"FILE" help:"Take all heads that stand in this file, such as the collector's own log."`
	JSON  bool     `help:"One JSON object instead of text."`
}

// Help is shown below the flags.
func (auditVerifyLogCmd) Help() string {
	return `Recomputes the hash of every entry. It exits with 1 when an entry was changed, taken
out, added between or moved, and names the first that is not as it was.

Whoever owns the database can write the whole log anew. That shows only against a head
that was kept elsewhere: the collector writes one to its own log once an hour, when it has
changed, and audit head prints it.

  andon-collector audit verify-log --config collector.yaml
  andon-collector audit verify-log --config collector.yaml --heads /var/log/andon-collector.log`
}

// Run runs the command.
func (v *auditVerifyLogCmd) Run(ctx context.Context, e *cli.Env) error {
	c, err := v.load()
	if err != nil {
		return err
	}
	heads, err := collector.NotedHeads(v.Head, v.Heads)
	if err != nil {
		return ops.UsageError(err, "a head is what andon-collector audit head prints")
	}
	sum, err := collector.VerifyAuditLog(ctx, c, heads, ops.NewLogger(e.Stderr, c.Log))
	if err != nil && sum.Broken == "" {
		return ops.Hint(err, tryDatabase)
	}
	if v.JSON {
		if sum.Broken != "" {
			e.Code = ops.ExitFault
		}
		return sum.WriteJSON(e.Stdout)
	}
	if err != nil {
		return err
	}
	return sum.WriteText(e.Stdout)
}

type auditHeadCmd struct {
	configFlag
}

// Help is shown below the flags.
func (auditHeadCmd) Help() string {
	return `Prints SEQ:HASH of the last entry. Keep it where who owns the database cannot write;
audit verify-log --head compares it later.

  andon-collector audit head --config collector.yaml`
}

// Run runs the command.
func (h *auditHeadCmd) Run(ctx context.Context, e *cli.Env) error {
	c, err := h.load()
	if err != nil {
		return err
	}
	head, err := collector.AuditHead(ctx, c, ops.NewLogger(e.Stderr, c.Log))
	if err != nil {
		return ops.Hint(err, tryDatabase)
	}
	fmt.Fprintln(e.Stdout, head)
	return nil
}

type auditLogCmd struct {
	configFlag
	Who    string        `placeholder:"NAME" help:"Only what this user or program did."`
	Action string        `placeholder:"ACTION" help:"Only this action, such as 'acknowledge alarm'."`
	Since  time.Duration `placeholder:"DURATION" help:"Only the time up to now, such as 24h."`
	Most   int           `default:"100" placeholder:"N" help:"At most this many, the newest."`
	JSON   bool          `help:"One JSON object a line."`
}

// Help is shown below the flags.
func (auditLogCmd) Help() string {
	return `Lists entries, the oldest first. It verifies nothing: see audit verify-log.

  andon-collector audit log --config collector.yaml --since 24h
  andon-collector audit log --config collector.yaml --action 'acknowledge alarm' --json`
}

// Run runs the command.
func (l *auditLogCmd) Run(ctx context.Context, e *cli.Env) error {
	if l.Most < 1 || l.Most > 100_000 || l.Since < 0 {
		return ops.UsageError(fmt.Errorf("--most is from 1 to 100000, and --since not negative"), "for example --since 24h --most 1000")
	}
	c, err := l.load()
	if err != nil {
		return err
	}
	f := collector.AuditLogFilter{Who: l.Who, Action: l.Action, Most: l.Most}
	if l.Since > 0 {
		f.Since = time.Now().Add(-l.Since)
	}
	list, err := collector.AuditLog(ctx, c, f, ops.NewLogger(e.Stderr, c.Log))
	if err != nil {
		return ops.Hint(err, tryDatabase)
	}
	if l.JSON {
		return list.WriteJSON(e.Stdout)
	}
	return list.WriteText(e.Stdout)
}
