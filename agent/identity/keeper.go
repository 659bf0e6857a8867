package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"andon.internal/shared/atomicfile"
	"andon.internal/shared/enroll"
	"andon.internal/shared/mtls"
)

// Keeper keeps a certificate good, and tells how it is.
type Keeper struct {
	o    KeeperOptions
	mu   sync.Mutex
	err  error  // why it is not renewed, of the certificate that
	of   string // has this serial number
	warn string // what was last logged of that
}

// KeeperOptions are the settings of a [Keeper].
type KeeperOptions struct {
	Store   *mtls.Store      // required
	URL     string           // of the service; empty: nobody renews
	File    string           // where key and certificate lie
	Now     func() time.Time // required: the time by which certificates are judged
	Logger  *slog.Logger     // default: none
	Metrics *Metrics         // default: counted and not registered

	LookEvery time.Duration // how often it is looked, at least, whether it is time: clocks are set and machines sleep; 1 m
	RetryMin  time.Duration // pause after the first attempt that failed, doubled after each; 30 s
	RetryMax  time.Duration // the longest pause; 15 m
}

// NewKeeper returns a keeper that does nothing until Run.
func NewKeeper(o KeeperOptions) *Keeper {
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil, o.Store)
	}
	for field, value := range map[*time.Duration]time.Duration{
		&o.LookEvery: time.Minute, &o.RetryMin: 30 * time.Second, &o.RetryMax: 15 * time.Minute,
	} {
		if *field <= 0 {
			*field = value
		}
	}
	return &Keeper{o: o}
}

func life(c *x509.Certificate) time.Duration { return c.NotAfter.Sub(c.NotBefore) }

// Due is when a certificate is to be renewed: after two thirds of its life, and up to a
// tenth of those earlier or later. Which, follows from its serial number, so that cells
// that enrolled together do not all come at once, and a start does not change it.
func Due(c *x509.Certificate) time.Time {
	spread := new(big.Int).Mod(c.SerialNumber, big.NewInt(2001)).Int64() - 1000 // thousandths
	twoThirds := life(c) / 3 * 2
	return c.NotBefore.Add(twoThirds + twoThirds/10_000*time.Duration(spread))
}

// Run renews the certificate whenever that is due, until ctx ends. A connection that is
// open stays as it is; the next one shows the new certificate.
func (k *Keeper) Run(ctx context.Context) error {
	if k.o.URL == "" {
		<-ctx.Done()
		return nil
	}
	var pause *backoff.ExponentialBackOff
	var next time.Time // no attempt before this
	for ctx.Err() == nil {
		leaf := k.o.Store.Leaf()
		wait := Due(leaf).Sub(k.o.Now())
		if wait > 0 {
			pause = nil
		} else {
			wait = time.Until(next)
		}
		if wait > 0 {
			sleep(ctx, min(wait, k.o.LookEvery))
			continue
		}
		err := k.renew(ctx, leaf)
		if ctx.Err() != nil {
			break
		}
		k.note(leaf, err)
		if pause == nil {
			pause = k.patience(leaf)
		}
		next = time.Now().Add(pause.NextBackOff())
		if err == nil { // by a clock that is ahead the next one may be due already
			next = time.Now().Add(min(life(leaf)/4, 24*time.Hour))
		}
	}
	return nil
}

// patience is how long is waited after attempts that failed; less where the life is short.
func (k *Keeper) patience(c *x509.Certificate) *backoff.ExponentialBackOff {
	part := max(life(c)/50, 50*time.Millisecond)
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(min(k.o.RetryMin, part)),
		backoff.WithMaxInterval(min(k.o.RetryMax, 2*part)),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.5),
		backoff.WithMaxElapsedTime(0),
	)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// renew has a new key signed, and puts it in the old one's place. It also tries when the
// certificate has expired by the clock here, which may be wrong.
func (k *Keeper) renew(ctx context.Context, held *x509.Certificate) error {
	u, err := url.Parse(k.o.URL)
	if err != nil {
		return err
	}
	key, keyPEM, csr, err := newKey()
	if err != nil {
		return err
	}
	a, leaf, err := ask(ctx, k.o.Store.Client(u.Hostname()), k.o.URL, enroll.RenewPath, enroll.Request{CSR: csr}, key)
	if err != nil {
		return err
	}
	same := slices.EqualFunc(held.URIs, leaf.URIs, func(a, b *url.URL) bool { return a.String() == b.String() })
	if !same {
		return fmt.Errorf("the certificate in the answer is of %v, and the one we have of %v", leaf.URIs, held.URIs)
	}
	if err := atomicfile.Write(k.o.File, 0o600, keyPEM, []byte(a.Certificate)); err != nil {
		return err
	}
	k.o.Store.LookNow()
	if got := k.o.Store.Leaf(); got.SerialNumber.Cmp(leaf.SerialNumber) != 0 {
		return fmt.Errorf("%s is replaced and cannot be read again; the log says why", k.o.File)
	}
	return nil
}

// note counts and tells what came of an attempt.
func (k *Keeper) note(of *x509.Certificate, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err, k.of = err, of.SerialNumber.Text(16)
	if err == nil {
		k.warn = ""
		k.o.Metrics.renewals.WithLabelValues("ok").Inc()
		k.o.Logger.Info("certificate renewed", "expires", k.o.Store.Leaf().NotAfter)
		return
	}
	k.o.Metrics.renewals.WithLabelValues("failed").Inc()
	var refused *Refused
	errors.As(err, &refused)
	if err.Error() == k.warn {
		return
	}
	k.warn = err.Error()
	if refused != nil && refused.Code.Final() {
		k.o.Logger.Error("the certificate cannot be renewed any more; enrol again with a new token: andon-agent enroll",
			"error", err, "expires", of.NotAfter)
		return
	}
	k.o.Logger.Warn("certificate not renewed; trying again", "error", err, "expires", of.NotAfter)
}

// Check returns why the certificate is no longer good, or soon will not be.
func (k *Keeper) Check() error {
	leaf, now := k.o.Store.Leaf(), k.o.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.err
	if k.of != leaf.SerialNumber.Text(16) { // enrolled anew meanwhile
		err = nil
	}
	left := leaf.NotAfter.Sub(now)
	var refused *Refused
	switch {
	case left <= 0:
		return fmt.Errorf("the certificate expired at %s, and this machine's clock says %s: enrol with a new token (andon-agent enroll), or set the clock if it is wrong",
			stamped(leaf.NotAfter), stamped(now))
	case errors.As(err, &refused) && refused.Code.Final():
		return fmt.Errorf("the certificate cannot be renewed, enrol with a new token (andon-agent enroll): %w", err)
	case left < life(leaf)/4 && err != nil:
		return fmt.Errorf("the certificate expires at %s, and is not renewed: %w", stamped(leaf.NotAfter), err)
	case left < life(leaf)/10 && k.o.URL == "":
		return fmt.Errorf("the certificate expires at %s, and nobody renews it: mqtt.enroll.url is not set", stamped(leaf.NotAfter))
	}
	return nil
}

func stamped(t time.Time) string { return t.UTC().Format(time.RFC3339) }
