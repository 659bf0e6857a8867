package mtls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon.internal/shared/config"
	"andon.internal/shared/mtls"
)

// files writes an authority that is its own only holder.
func files(t *testing.T, dir, name string) mtls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "own.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, filepath.Join(dir, "own.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	own := config.Path(filepath.Join(dir, "own.crt"))
	return mtls.Config{CA: own, Cert: own, Key: config.Path(filepath.Join(dir, "own.key"))}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// holder is the common name of the certificate that a client would show.
func holder(t *testing.T, s *mtls.Store) string {
	t.Helper()
	return s.Client("x").Certificates[0].Leaf.Subject.CommonName
}

// TestFilesAreReadAgain: what replaces the files counts, and what cannot be read does not.
func TestFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	c := files(t, dir, "first")
	s, err := mtls.Open(c, mtls.Options{})
	if err != nil {
		t.Fatal(err)
	}
	until := func(want string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); holder(t, s) != want; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the holder is %s, want %s", holder(t, s), want)
			}
		}
	}
	until("first")
	files(t, dir, "second")
	until("second")
	write(t, string(c.Key), []byte("half a file"))
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got := holder(t, s); got != "second" {
			t.Fatalf("with a key that cannot be read the holder is %s", got)
		}
	}
	files(t, dir, "third")
	until("third")
}

// TestServerForBrowsers: it asks for no certificate, and replaced files count.
func TestServerForBrowsers(t *testing.T) {
	dir := t.TempDir()
	c := files(t, dir, "first")
	server, err := mtls.OpenServer(mtls.ServerConfig{Cert: c.Cert, Key: c.Key}, mtls.Options{})
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		go func() { _ = tls.Server(ours, server).Handshake(); ours.Close() }()
		client := tls.Client(theirs, &tls.Config{InsecureSkipVerify: true})
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
		return client.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := shown(); got != "first" {
		t.Fatalf("the server shows %s", got)
	}
	files(t, dir, "second")
	for end := time.Now().Add(10 * time.Second); shown() != "second"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a replaced certificate does not count")
		}
	}
	if off, err := mtls.OpenServer(mtls.ServerConfig{}, mtls.Options{}); off != nil || err != nil {
		t.Errorf("without TLS: %v, %v", off, err)
	}
	for _, bad := range []mtls.ServerConfig{{Cert: c.Cert}, {Key: c.Key}} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if _, err := mtls.OpenServer(mtls.ServerConfig{Cert: c.Cert, Key: "/nowhere"}, mtls.Options{}); err == nil {
		t.Error("a key that is not there is taken")
	}
}

func TestFaultsOfFiles(t *testing.T) {
	dir := t.TempDir()
	good := files(t, dir, "own")
	other := files(t, t.TempDir(), "other")
	junk := config.Path(filepath.Join(dir, "junk"))
	write(t, string(junk), []byte("s3cret junk"))
	for name, c := range map[string]struct {
		edit func(*mtls.Config)
		want string
	}{
		"nothing":        {func(c *mtls.Config) { *c = mtls.Config{} }, "are required"},
		"no key":         {func(c *mtls.Config) { c.Key = "" }, "key"},
		"no file":        {func(c *mtls.Config) { c.CA = "/nowhere" }, "/nowhere"},
		"no authority":   {func(c *mtls.Config) { c.CA = junk }, "no certificate in PEM"},
		"another's key":  {func(c *mtls.Config) { c.Key = other.Key }, "does not match"},
		"no key in it":   {func(c *mtls.Config) { c.Key = junk }, "own.crt"},
		"no list in it":  {func(c *mtls.Config) { c.CRL = junk }, "no list of revoked"},
		"no certificate": {func(c *mtls.Config) { c.Cert = junk }, "junk"},
	} {
		cfg := good
		c.edit(&cfg)
		if _, err := mtls.Open(cfg, mtls.Options{}); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %q and nothing of what is in the files", name, err, c.want)
		}
	}
	if s, err := mtls.OpenIf(mtls.Config{}, mtls.Options{}); s != nil || err != nil {
		t.Errorf("without TLS: %v, %v", s, err)
	}
}

func TestAddressesAndCertificatesGoTogether(t *testing.T) {
	for address, want := range map[string][2]bool{ // plain, with certificates
		"tcp://h:1883": {true, false}, "mqtt://h:1883": {true, false},
		"mqtts://h:8883": {false, true}, "ssl://h:8883": {false, true}, "tls://h:8883": {false, true},
		"http://h:80": {false, false}, "tcp://": {false, false}, "tcp://h:1/x": {false, false}, "tcp://u@h:1": {false, false},
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		for i, secure := range []bool{false, true} {
			if err := mtls.CheckURL(u, secure); (err == nil) != want[i] {
				t.Errorf("%s, certificates %v: %v", address, secure, err)
			}
		}
	}
}
