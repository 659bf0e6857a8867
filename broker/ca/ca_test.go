package ca_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon.internal/broker/access"
	"andon.internal/broker/ca"
)

var cell = access.Identity{Role: access.Node, Group: "line1", Name: "cell-07"}

func parse(t *testing.T, b []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(b)
	if block == nil {
		t.Fatal("no PEM")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func listOf(t *testing.T, c *ca.CA) []ca.Issued {
	t.Helper()
	list, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func holdersOf(t *testing.T, c *ca.CA, now time.Time) []access.Identity {
	t.Helper()
	list, err := c.Holders(now)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestLifeOfAnAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	made, err := ca.Init(dir, "plant")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Init(dir, "again"); err == nil || !strings.Contains(err.Error(), "has one already") {
		t.Errorf("a second authority in the folder: %v", err)
	}
	if fi, err := os.Stat(filepath.Join(dir, "ca.key")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v, %v", fi.Mode(), err)
	}
	p, issued, err := made.Issue(cell, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, p.Cert)
	if len(c.URIs) != 1 || c.URIs[0].String() != "andon://node/line1/cell-07" || c.Subject.CommonName != "node.line1.cell-07" ||
		c.IsCA || len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
		t.Errorf("the certificate says %v, %v, uses %v", c.URIs, c.Subject, c.ExtKeyUsage)
	}
	root, err := os.ReadFile(filepath.Join(dir, ca.CertFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckSignatureFrom(parse(t, root)); err != nil {
		t.Error(err)
	}

	again, err := ca.Open(dir) // another process knows what was issued
	if err != nil {
		t.Fatal(err)
	}
	if list := listOf(t, again); len(list) != 1 || list[0].Serial != issued.Serial {
		t.Errorf("issued %+v", list)
	}
	if h := holdersOf(t, again, time.Now()); len(h) != 1 || h[0] != cell {
		t.Errorf("holders %v", h)
	}
	if h := holdersOf(t, again, time.Now().Add(2*time.Hour)); len(h) != 0 {
		t.Errorf("holders of what has expired: %v", h)
	}
	if _, err := again.Revoke("nobody"); !errors.Is(err, ca.ErrNotIssued) {
		t.Errorf("revoke what was not issued: %v", err)
	}
	if list, err := again.Revoke(cell.String()); err != nil || len(list) != 1 {
		t.Errorf("revoked %v, %v", list, err)
	}
	if _, err := again.Revoke(issued.Serial); !errors.Is(err, ca.ErrNotIssued) {
		t.Errorf("revoke twice: %v", err)
	}
	if h := holdersOf(t, again, time.Now()); len(h) != 0 {
		t.Errorf("holders of what was revoked: %v", h)
	}
}

func TestWhatIsNotIssued(t *testing.T) {
	c, err := ca.Init(filepath.Join(t.TempDir(), "ca"), "plant")
	if err != nil {
		t.Fatal(err)
	}
	for name, issue := range map[string]func() error{
		"who is local": func() error { _, _, err := c.Issue(access.Identity{Role: access.Local}, time.Hour); return err },
		"a bad id": func() error {
			_, _, err := c.Issue(access.Identity{Role: access.Viewer, Name: "a/b"}, time.Hour)
			return err
		},
		"no life":       func() error { _, _, err := c.Issue(cell, 0); return err },
		"no host":       func() error { _, _, err := c.IssueServer(nil, time.Hour); return err },
		"a host's URL":  func() error { _, _, err := c.IssueServer([]string{"https://x"}, time.Hour); return err },
		"every host":    func() error { _, _, err := c.IssueServer([]string{"*.plant.example"}, time.Hour); return err },
		"an empty host": func() error { _, _, err := c.IssueServer([]string{""}, time.Hour); return err },
		"a host:port":   func() error { _, _, err := c.IssueServer([]string{"plant:8883"}, time.Hour); return err },
		"too long a one": func() error {
			_, _, err := c.Issue(access.Identity{Role: access.Viewer, Name: strings.Repeat("x", 65)}, time.Hour)
			return err
		},
	} {
		if err := issue(); err == nil {
			t.Errorf("%s: issued", name)
		}
	}
	if list := listOf(t, c); len(list) != 0 {
		t.Errorf("on the list: %v", list)
	}
}

func TestDamagedAuthority(t *testing.T) {
	for name, damage := range map[string]struct{ file, text, want string }{
		"no key":        {"ca.key", "", "ca.key is not in PEM"},
		"another's key": {"ca.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be read as a key"},
		"no list":       {"issued.json", "{", "issued.json"},
		"no authority":  {"ca.crt", "x", "ca.crt is not in PEM"},
	} {
		dir := filepath.Join(t.TempDir(), "ca")
		if _, err := ca.Init(dir, "plant"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, damage.file), []byte(damage.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ca.Open(dir); err == nil || !strings.Contains(err.Error(), damage.want) {
			t.Errorf("%s: %v, want %q", name, err, damage.want)
		}
	}
}
