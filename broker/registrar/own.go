package registrar

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"andon.internal/broker/ca"
	"andon.internal/shared/ops"
)

// ownCertificate is the service's own, with the authority's behind it: a cell that has
// nothing but a token recognises that by its fingerprint.
type ownCertificate struct {
	authority *ca.CA
	names     []string
	life      time.Duration

	mu   sync.Mutex
	pair *tls.Certificate
}

func (o *ownCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pair, nil
}

func (o *ownCertificate) expires() time.Time {
	p, _ := o.get(nil) // never fails
	return p.Leaf.NotAfter
}

func (o *ownCertificate) check() error {
	if at := o.expires(); ops.Now().After(at) {
		return fmt.Errorf("its own certificate expired at %s", at.UTC().Format(time.RFC3339))
	}
	return nil
}

// renew takes a new one.
func (o *ownCertificate) renew() error {
	p, _, err := o.authority.IssueService(o.names, o.life)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(append(p.Cert, o.authority.CertPEM()...), p.Key)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pair = &pair
	return nil
}

// keep renews it when two thirds of its life are over, until ctx ends. It looks often,
// because clocks are set and machines sleep.
func (o *ownCertificate) keep(ctx context.Context, log *slog.Logger) {
	look := time.NewTicker(min(time.Minute, max(o.life/60, time.Millisecond)))
	defer look.Stop()
	for failing := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if o.expires().Sub(ops.Now()) > o.life/3 {
			continue
		}
		err := o.renew()
		switch {
		case err != nil && !failing:
			log.Error("the registrar's own certificate is not renewed; trying again", "error", err, "expires", o.expires())
		case err == nil:
			log.Info("the registrar's own certificate is renewed", "expires", o.expires())
		}
		failing = err != nil
	}
}
