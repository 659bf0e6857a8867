package agent

import (
	"crypto/x509"
	"errors"
	"io/fs"

	"andon.internal/agent/clock"
	"andon.internal/agent/identity"
	"andon.internal/shared/mtls"
	"andon.internal/shared/ops"
)

// certificates are who the cell is: the files, the time by which they are judged, and who
// renews them. Without TLS all are nil.
type certificates struct {
	store  *mtls.Store
	clock  *clock.Trusted
	keeper *identity.Keeper
}

func (a *Agent) openCertificates() (err error) {
	c := &a.certificates
	if !a.cfg.MQTT.TLS.On() {
		return nil
	}
	c.clock, err = clock.OpenTrusted(a.state, clock.TrustedOptions{
		System: a.wall, Built: ops.BuildInfo().Time, Logger: a.log,
	})
	if err != nil {
		return err
	}
	c.store, err = mtls.Open(a.cfg.MQTT.TLS, mtls.Options{
		Now: c.clock.Now, Logger: a.log, Signed: c.clock.Signed,
		Own: func(leaf *x509.Certificate) { c.clock.Own(leaf.NotBefore, leaf.NotAfter) },
	})
	if errors.Is(err, fs.ErrNotExist) && a.cfg.MQTT.Enroll.URL != "" {
		return ops.Hint(err, "the cell has not enrolled yet: andon-agent enroll --config FILE --token-file TOKEN")
	}
	if err != nil {
		return err
	}
	c.keeper = identity.NewKeeper(identity.KeeperOptions{
		Store: c.store, URL: a.cfg.MQTT.Enroll.URL, File: string(a.cfg.MQTT.TLS.Cert),
		Now: c.clock.Now, Logger: a.log, Metrics: identity.NewMetrics(a.cfg.Registry, c.store),
	})
	return nil
}
