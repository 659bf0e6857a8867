package mtls_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon.internal/shared/config"
	"andon.internal/shared/mtls"
)

// authority signs for tests.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir(), key: newKey(t)}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "plant"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.Add(-100 * day), NotAfter: now.Add(5000 * day), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(a.dir, "ca.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

const day = 24 * time.Hour

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// issue writes key and certificate into one file.
func (a *authority) issue(name string, serial int64, from, until time.Time) mtls.Config {
	a.t.Helper()
	key := newKey(a.t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	path := filepath.Join(a.dir, name+".pem")
	write(a.t, path, append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...))
	return mtls.Config{CA: config.Path(filepath.Join(a.dir, "ca.crt")), Cert: config.Path(path), Key: config.Path(path)}
}

// revoke writes a list, and returns where.
func (a *authority) revoke(serial int64, made, at time.Time) config.Path {
	a.t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: made, NextUpdate: made.Add(day),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(serial), RevocationTime: at}},
	}, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	path := filepath.Join(a.dir, "revoked.crl")
	write(a.t, path, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
	return config.Path(path)
}

// serve answers every connection that passes with one byte, and returns the address.
func serve(t *testing.T, c mtls.Config) string {
	t.Helper()
	s, err := mtls.Open(c, mtls.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", s.Server())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(30 * time.Second))
			_, _ = c.Write([]byte{1})
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// dial makes the handshake and waits for the server's byte.
func dial(t *testing.T, address string, c mtls.Config, o mtls.Options) error {
	t.Helper()
	s, err := mtls.Open(c, o)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := s.Secure(ctx, raw, address)
	if err != nil {
		return err
	}
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, err = conn.Read(make([]byte, 1))
	return err
}

// TestClocks: a client whose clock is behind connects, one whose clock is ahead is told
// that this may be why not.
func TestClocks(t *testing.T) {
	a, now := newAuthority(t), time.Now()
	from := now.Add(-time.Hour).Truncate(time.Second)
	address := serve(t, a.issue("server", 2, from, now.Add(10*day)))
	cell := a.issue("cell", 3, from, now.Add(10*day))
	for name, c := range map[string]struct {
		clock time.Time
		want  string
	}{
		"right":           {now, ""},
		"1970":            {time.Unix(1000, 0), ""},
		"two hours late":  {now.Add(-2 * time.Hour), ""},
		"years late":      {now.Add(-3000 * day), ""},
		"ten years ahead": {now.Add(3650 * day), "set the clock here if it is wrong"},
	} {
		var signed time.Time
		o := mtls.Options{Now: func() time.Time { return c.clock }, Signed: func(at time.Time) { signed = at }}
		err := dial(t, address, cell, o)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err == nil && !signed.Equal(from) {
			t.Errorf("%s: learnt %v, want %v", name, signed, from)
		}
		if err != nil && !signed.IsZero() {
			t.Errorf("%s: learnt %v of a server that was refused", name, signed)
		}
	}
}

// TestWhatIsRevokedIsSoByEveryClock: also by one for which that has not happened yet.
func TestWhatIsRevokedIsSoByEveryClock(t *testing.T) {
	a, now := newAuthority(t), time.Now()
	address := serve(t, a.issue("server", 2, now.Add(-time.Hour), now.Add(day)))
	cell := a.issue("cell", 3, now.Add(-time.Hour), now.Add(day))
	made := now.Add(-time.Minute).Truncate(time.Second)
	cell.CRL = a.revoke(2, made, now)
	var signed time.Time
	o := mtls.Options{Now: func() time.Time { return time.Unix(0, 0) }, Signed: func(at time.Time) { signed = at }}
	if err := dial(t, address, cell, o); err == nil || !strings.Contains(err.Error(), "was revoked at") {
		t.Errorf("a revoked server: %v", err)
	}
	if !signed.Equal(made) {
		t.Errorf("of the list it was learnt that it is %v, want %v", signed, made)
	}
}

// TestWhyTheServerRefuses: the end of a connection without an answer is explained by what
// our certificate is.
func TestWhyTheServerRefuses(t *testing.T) {
	a, now := newAuthority(t), time.Now()
	server := a.issue("server", 2, now.Add(-time.Hour), now.Add(day))
	server.CRL = a.revoke(4, now, now)
	address := serve(t, server)
	for name, c := range map[string]struct {
		cell mtls.Config
		want string
	}{
		"good":    {a.issue("good", 3, now.Add(-time.Hour), now.Add(day)), ""},
		"revoked": {a.issue("revoked", 4, now.Add(-time.Hour), now.Add(day)), "it is revoked, or of another authority"},
		"expired": {a.issue("expired", 5, now.Add(-time.Hour), now.Add(-time.Minute)), "it expired at"},
	} {
		err := dial(t, address, c.cell, mtls.Options{})
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !errors.Is(err, mtls.ErrNotAccepted)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestAnEndWithoutAnAnswer may have been a refusal that got lost on the way.
func TestAnEndWithoutAnAnswer(t *testing.T) {
	a, now := newAuthority(t), time.Now()
	s, err := mtls.Open(a.issue("server", 2, now.Add(-time.Hour), now.Add(day)), mtls.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", s.Server())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.(*tls.Conn).Handshake()
		c.Close()
	}()
	err = dial(t, l.Addr().String(), a.issue("cell", 3, now.Add(-time.Hour), now.Add(day)), mtls.Options{})
	if err == nil || !strings.Contains(err.Error(), "without an answer; perhaps it does not accept our certificate 3 of") {
		t.Errorf("got %v", err)
	}
	<-done
}

// TestStrangersAreRefused: whoever is not signed by the authority, or has another name.
func TestStrangersAreRefused(t *testing.T) {
	a, b, now := newAuthority(t), newAuthority(t), time.Now()
	cell := a.issue("cell", 3, now.Add(-time.Hour), now.Add(day))
	if err := dial(t, serve(t, b.issue("server", 2, now.Add(-time.Hour), now.Add(day))), cell, mtls.Options{}); err == nil ||
		!strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("of another authority: %v", err)
	}
	s, err := mtls.Open(cell, mtls.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Leaf().SerialNumber.Int64(); got != 3 {
		t.Errorf("our own serial number is %d", got)
	}
	_, port, _ := net.SplitHostPort(serve(t, a.issue("server", 2, now.Add(-time.Hour), now.Add(day))))
	raw, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := s.Secure(t.Context(), raw, "broker.plant.example:"+port); err == nil || !strings.Contains(err.Error(), "broker.plant.example") {
		t.Errorf("under another name: %v", err)
	}
}
