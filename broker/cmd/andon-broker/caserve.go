package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"andon.internal/broker/registrar"
	"andon.internal/shared/cli"
	"andon.internal/shared/ops"
)

type caServeCmd struct {
	authority
	Listen string        `default:"127.0.0.1:8884" placeholder:"ADDR" help:"Where cells reach it; 127.0.0.1:8884."`
	Names  []string      `required:"" placeholder:"NAME" help:"The names and addresses under which cells reach it, for its own certificate; by commas."`
	Life   time.Duration `default:"2160h" help:"How long the certificates are good that it issues; 90 days."`
	HTTP   string        `name:"http" default:"127.0.0.1:0" placeholder:"ADDR" help:"Where /healthz, /readyz and /metrics are; a free port of loopback. Nobody else may reach it. Empty: nowhere."`
	Log    string        `default:"info" enum:"debug,info,warn,error" help:"What is logged: debug, info, warn or error."`
}

// Help is shown below the flags.
func (caServeCmd) Help() string {
	return `Serves HTTPS beside the authority's folder, best on a machine of its own: the broker's
need not hold the authority's key. Its own certificate it issues and renews by itself.

  POST /v1/enroll   a token and a certificate request, for a cell's first certificate
  POST /v1/renew    a certificate that is good and a request, for its next one
  GET  /v1/crl      the list of what was revoked, for tls.crl of brokers

The other commands may be used beside it.

  andon-broker ca serve --listen 0.0.0.0:8884 --names ca.plant.example,10.0.0.5
  curl --cacert andon-ca/ca.crt https://ca.plant.example:8884/v1/crl`
}

// Run runs the command.
func (k *caServeCmd) Run(ctx context.Context, e *cli.Env) error {
	if host, _, err := net.SplitHostPort(k.HTTP); k.HTTP != "" && (err != nil || !ops.Local(host)) {
		return ops.UsageError(fmt.Errorf("--http %q must be host:port of this machine alone: there is neither login nor TLS", k.HTTP),
			"for example --http 127.0.0.1:9104; from elsewhere through a proxy that speaks TLS")
	}
	c, err := k.open()
	if err != nil {
		return err
	}
	log, registry := ops.NewLogger(e.Stderr, ops.LogConfig{Level: k.Log}), ops.NewRegistry()
	r, err := registrar.Open(registrar.Config{Listen: k.Listen, Names: k.Names, Life: k.Life, Logger: log, Registry: registry}, c)
	if err != nil {
		return err
	}
	var health ops.Health
	health.Ready("certificate", r.Check)
	status, err := ops.Listen(program, ops.HTTPConfig{Listen: k.HTTP}, &health, registry, log)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.Run(ctx) })
	g.Go(func() error { return status.Run(ctx) })
	return g.Wait()
}
