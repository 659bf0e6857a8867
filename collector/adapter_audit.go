package collector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/collector/auditlog"
	"andon.internal/collector/store"
	"andon.internal/collector/web"
	"andon.internal/shared/ops"
)

// auditor is the audit log as the pages know it.
type auditor struct{ log *auditlog.Writer }

var _ web.Audit = auditor{}

// Note notes what somebody did at a page.
func (a auditor) Note(_ context.Context, e web.Entry) {
	a.log.Note(auditlog.Entry{
		Who: e.Who, Role: e.Role, From: e.From, Action: e.Action, Object: e.Object, Result: e.Result,
		Detail: auditlog.Detail(e.Detail),
	})
}

// own is an entry about this program itself.
func own(action, object, result string, detail map[string]any) auditlog.Entry {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	detail["pid"], detail["uid"] = os.Getpid(), os.Getuid()
	return auditlog.Entry{
		Who: "andon-collector", Role: "system", From: host, Action: action, Object: object, Result: result,
		Detail: auditlog.Detail(detail),
	}
}

func openAudit(s *store.Store, log *slog.Logger, reg prometheus.Registerer) (*auditlog.Writer, error) {
	return auditlog.NewWriter(auditlog.Config{
		Store: s, Logger: log.With("part", "audit"), Metrics: auditlog.NewMetrics(reg),
	})
}

// changed is the entry of a change of the tables.
func changed(what string) auditlog.Entry {
	return own("migrate database", what, auditlog.OK, map[string]any{"version": ops.Version()})
}

// noteChanges writes the audit log of a command that changed the tables and ends.
func noteChanges(ctx context.Context, s *store.Store, done []string, log *slog.Logger) error {
	var entries []auditlog.Entry
	for _, what := range done {
		entries = append(entries, changed(what))
	}
	return noteAll(ctx, s, log, entries...)
}

// noteAll writes entries of a command that ends.
func noteAll(ctx context.Context, s *store.Store, log *slog.Logger, entries ...auditlog.Entry) error {
	w, err := openAudit(s, log, nil)
	if err != nil {
		return err
	}
	for _, e := range entries {
		w.Note(e)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	return w.Run(ended) // which writes what is noted
}

// startAudit writes the audit log until stop is called, with the start and the end of
// this collector in it.
func (col *Collector) startAudit(ctx context.Context) (stop func(err error)) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var writing sync.WaitGroup
	writing.Go(func() {
		if err := col.audit.Run(ctx); err != nil {
			col.log.Error("the audit log is not whole: the database was away at the end", "error", err)
		}
	})
	detail := func() map[string]any { return map[string]any{"version": ops.Version(), "config": col.digest} }
	col.audit.Note(own("start collector", col.does, auditlog.OK, detail()))
	return func(err error) {
		d, result := detail(), auditlog.OK
		if err != nil {
			d["why"], result = err.Error(), auditlog.Failed
		}
		col.audit.Note(own("stop collector", col.does, result, d))
		cancel()
		writing.Wait()
	}
}

// digest is SHA-256 over what a configuration says, its defaults included: two collectors
// with the same do the same. No secret goes into it.
func (c *Config) digest() string {
	said := *c
	said.Database.DSN = withoutPassword(said.Database.DSN)
	text, err := json.Marshal(said)
	if err != nil {
		return "unknown" // there is nothing in it that JSON cannot hold
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// does names the roles of a configuration in one text.
func (c *Config) does() string { return strings.Join(c.Roles, ",") }
