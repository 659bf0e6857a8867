package identity_test

import (
	"context"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"andon.internal/agent/identity"
	"andon.internal/agent/identity/identitytest"
	"andon.internal/shared/config"
	"andon.internal/shared/enroll"
	"andon.internal/shared/mtls"
)

func TestDueAtTwoThirds(t *testing.T) {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	early, late := from.Add(1000*time.Hour), from
	for n := range int64(5000) {
		c := &x509.Certificate{SerialNumber: new(big.Int).Mul(big.NewInt(n), big.NewInt(7919)), NotBefore: from, NotAfter: from.Add(900 * time.Hour)}
		due := identity.Due(c)
		if due != identity.Due(c) {
			t.Fatal("it changes")
		}
		if due.Before(early) {
			early = due
		}
		if due.After(late) {
			late = due
		}
	}
	// Two thirds of 900 h are 600 h, a tenth of those 60 h.
	if e, l := early.Sub(from).Round(time.Hour), late.Sub(from).Round(time.Hour); e != 540*time.Hour || l != 660*time.Hour {
		t.Errorf("due from %v to %v", e, l)
	}
}

// keeping is a keeper under test.
type keeping struct {
	*identity.Keeper
	store    *mtls.Store
	files    identity.Files
	registry *prometheus.Registry
	mu       sync.Mutex
	off      time.Duration // of the clock
	at       time.Time     // where the clock stands; zero: it runs
}

func (k *keeping) now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.at.IsZero() {
		return k.at
	}
	return time.Now().Add(k.off)
}

func (k *keeping) setOff(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.off = d
}

// stopAt lets the clock stand.
func (k *keeping) stopAt(at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at = at
}

// keep enrols a cell and keeps its certificate good until the test ends.
func keep(t *testing.T, a *identitytest.Authority, url string) *keeping {
	t.Helper()
	service := a.Serve()
	o := order(t, a, service)
	if _, err := identity.Enroll(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	k := &keeping{files: o.Files, registry: prometheus.NewRegistry()}
	path := func(s string) config.Path { return config.Path(s) }
	var err error
	c := mtls.Config{CA: path(o.Files.CA), Cert: path(o.Files.Pair), Key: path(o.Files.Pair)}
	if k.store, err = mtls.Open(c, mtls.Options{Now: k.now}); err != nil {
		t.Fatal(err)
	}
	if url == "own" {
		url = service
	}
	k.Keeper = identity.NewKeeper(identity.KeeperOptions{
		Store: k.store, URL: url, File: o.Files.Pair, Now: k.now, Metrics: identity.NewMetrics(k.registry, k.store),
		LookEvery: 10 * time.Millisecond, RetryMin: 20 * time.Millisecond, RetryMax: 50 * time.Millisecond,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return k
}

func (k *keeping) renewals(t *testing.T, result string) float64 {
	t.Helper()
	for _, m := range k.metric(t, "andon_certificate_renewals_total") {
		if m.GetLabel()[0].GetValue() == result {
			return m.GetCounter().GetValue()
		}
	}
	t.Fatalf("renewals that are %s are not counted", result)
	return 0
}

func (k *keeping) gauge(t *testing.T) float64 {
	t.Helper()
	return k.metric(t, "andon_certificate_expires_timestamp_seconds")[0].GetGauge().GetValue()
}

func (k *keeping) metric(t *testing.T, name string) []*dto.Metric {
	t.Helper()
	families, err := k.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return nil
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// TestRenewal: at two thirds of its life each certificate has a successor, with a key of
// its own, and the file always holds a pair that matches.
func TestRenewal(t *testing.T) {
	a := identitytest.New(t)
	a.SetLife(12 * time.Second) // a quarter of which lies between two renewals
	k := keep(t, a, "own")
	seen := map[string]bool{}
	keys := map[string]bool{}
	look := func() *x509.Certificate {
		leaf := expectPair(t, k.files)
		seen[leaf.SerialNumber.String()] = true
		keys[string(leaf.RawSubjectPublicKeyInfo)] = true
		if err := k.Check(); err != nil {
			t.Fatal(err)
		}
		if left := leaf.NotAfter.Sub(k.now()); left < 0 {
			t.Fatalf("it has expired %v ago", -left)
		}
		return leaf
	}
	for range 3 {
		held := look()
		k.stopAt(identity.Due(held).Add(time.Millisecond)) // however long the renewal takes
		eventually(t, "a renewal", func() bool { return !look().Equal(held) && !k.store.Leaf().Equal(held) })
	}
	if len(seen) < 4 || len(keys) != len(seen) {
		t.Errorf("%d certificates have %d keys, want 4 of each", len(seen), len(keys))
	}
	if n := a.Served(); n > len(seen)+1 {
		t.Errorf("the service has issued %d certificates, of which %d were seen", n, len(seen))
	}
	eventually(t, "three are counted", func() bool { return k.renewals(t, "ok") >= 3 })
	if got, want := k.gauge(t), expectPair(t, k.files).NotAfter; got < float64(want.Unix())-5 || got > float64(want.Unix()) {
		t.Errorf("it is told to expire at %v, and does at %v", got, want.Unix())
	}
}

// TestARenewalThatFails is tried again, told when the end is near, and forgotten when the
// next one goes well.
func TestARenewalThatFails(t *testing.T) {
	a := identitytest.New(t)
	k := keep(t, a, "own")
	a.SetFault(&enroll.Fault{Code: enroll.Unavailable, Error: "cannot sign now"})
	if err := k.Check(); err != nil {
		t.Errorf("at the beginning: %v", err)
	}
	// The clock goes to where it is due and not yet near the end.
	k.setOff(time.Until(identity.Due(k.store.Leaf())) + time.Second)
	eventually(t, "it has failed", func() bool { return k.renewals(t, "failed") > 0 })
	if err := k.Check(); err != nil {
		t.Errorf("with a third left: %v", err)
	}
	k.setOff(50 * time.Minute)
	if err := k.Check(); err == nil || !strings.Contains(err.Error(), "is not renewed: cannot sign now") {
		t.Errorf("near the end: %v", err)
	}
	k.setOff(2 * time.Hour)
	if err := k.Check(); err == nil || !strings.Contains(err.Error(), "or set the clock if it is wrong") {
		t.Errorf("behind the end: %v", err)
	}
	k.setOff(50 * time.Minute)
	a.SetFault(nil)
	eventually(t, "it is renewed", func() bool { return k.renewals(t, "ok") > 0 })
	k.setOff(0)
	if err := k.Check(); err != nil {
		t.Errorf("with the next one: %v", err)
	}
}

// TestWhatCannotBeRenewed is told at once, with the cure, and ends with the next enrolment.
func TestWhatCannotBeRenewed(t *testing.T) {
	a := identitytest.New(t)
	k := keep(t, a, "own")
	a.SetFault(&enroll.Fault{Code: enroll.Revoked, Error: "the certificate was revoked"})
	k.setOff(45 * time.Minute)
	eventually(t, "told", func() bool {
		err := k.Check()
		return err != nil && strings.Contains(err.Error(), "enrol with a new token (andon-agent enroll): the certificate was revoked")
	})
	a.SetFault(nil)
	k.setOff(0)
	o := identity.Order{URL: a.Serve(), Token: a.Token("line1", "cell-07"), Files: k.files}
	if _, err := identity.Enroll(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is good again", func() bool { return k.Check() == nil })
}

// TestNobodyRenews: without a service it is only told when the end is near.
func TestNobodyRenews(t *testing.T) {
	a := identitytest.New(t)
	k := keep(t, a, "")
	if err := k.Check(); err != nil {
		t.Error(err)
	}
	k.setOff(58 * time.Minute)
	if err := k.Check(); err == nil || !strings.Contains(err.Error(), "mqtt.enroll.url is not set") {
		t.Errorf("near the end: %v", err)
	}
}

// TestLeftoversOfCrashes are removed: there is a key in them.
func TestLeftoversOfCrashes(t *testing.T) {
	a := identitytest.New(t)
	o := order(t, a, a.Serve())
	dir := filepath.Dir(o.Files.Pair)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, ".new-123")
	if err := os.WriteFile(old, []byte("half a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, before, before); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.Enroll(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadDir(dir)
	if err != nil || len(all) != 2 {
		t.Errorf("in the folder are %v, %v", all, err)
	}
}
