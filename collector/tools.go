package collector

import (
	"context"
	"errors"
	"log/slog"

	"andon.internal/collector/host"
	"andon.internal/collector/store"
)

// Migrate prepares or upgrades the database of a configuration, and notes what it did.
func Migrate(ctx context.Context, c Config, log *slog.Logger) error {
	var done []string
	s, err := openStore(ctx, c, log, nil, func(what string) { done = append(done, what) })
	if err != nil {
		return err
	}
	defer s.Close()
	err = s.Migrate(ctx)
	if len(done) == 0 {
		return err
	}
	return errors.Join(err, noteChanges(ctx, s, done, log))
}

// AuditFilter says which part of the database to audit; empty fields mean all.
type AuditFilter = store.AuditFilter

// Audit compares what was expected with what is stored.
func Audit(ctx context.Context, c Config, f AuditFilter, log *slog.Logger) (store.Audit, error) {
	s, err := openStore(ctx, c, log, nil, nil)
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
	certificates, brokerErr := c.MQTT.certificates(log)
	if brokerErr == nil {
		brokerErr = host.Try(ctx, c.MQTT.URL, certificates)
	}
	findings := []Finding{{"profiles", err}, {"rules", ruleErr}, {"broker", brokerErr}}
	s, err := openStore(ctx, c, log, nil, nil)
	if err == nil {
		defer s.Close()
		err = s.Ping(ctx)
	}
	return append(findings, Finding{"database", err})
}
