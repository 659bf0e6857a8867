package collector

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPasswordsOfConnectionStrings(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"postgres://u@h:5432/d?sslmode=require":         "postgres://u@h:5432/d?sslmode=require",
		"postgres://u:hunter2@h:5432/d":                 "postgres://u@h:5432/d",
		"postgres://u:hunter2@h,h2:5432/d?a=b":          "postgres://u@h,h2:5432/d?a=b",
		"postgres://u@h/d?password=hunter2&sslmode=off": "postgres://u@h/d?sslmode=off",
		"postgres://u@h/d?sslpassword=hunter2":          "postgres://u@h/d",
		"host=h user=u dbname=d":                        "host=h user=u dbname=d",
		"host=h password=hunter2 user=u":                "host=h  user=u",
		"password = 'hunter2 \\' hunter2' host=h":       "host=h",
		"host=h PASSWORD=hunter2":                       "host=h",
		"host=h password=hunter2\\ hunter2 user=u":      "host=h  user=u",
		"host=h password='hunter2":                      "host=h",
		"postgres://u:%zzhunter2@h/d":                   "",
	} {
		if got := withoutPassword(dsn); got != want {
			t.Errorf("%q without its password is %q, want %q", dsn, got, want)
		}
		if got := hasPassword(dsn); got != strings.Contains(dsn, "hunter2") && want != "" {
			t.Errorf("%q has a password: %v", dsn, got)
		}
	}
	a, b := DefaultConfig(), DefaultConfig()
	a.Database.DSN, b.Database.DSN = "postgres://u:hunter2@h/d", "postgres://u@h/d"
	if a.digest() != b.digest() {
		t.Error("a password goes into the digest of the configuration")
	}
	if b.Intake.Writers = 3; a.digest() == b.digest() {
		t.Error("the number of writers does not go into the digest")
	}
}

// TestServersBeyondThisMachine: a password and readings go to a server that is verified.
func TestServersBeyondThisMachine(t *testing.T) {
	ca := certificateFile(t)
	for dsn, good := range map[string]bool{
		"postgres://andon@127.0.0.1:5432/andon":                                     true,
		"postgres://andon@[::1]:5432/andon?sslmode=disable":                         true,
		"postgres://andon@localhost/andon":                                          true,
		"host=/var/run/postgresql user=andon":                                       true,
		"host=db.plant.example sslmode=verify-full sslrootcert=" + ca:               true,
		"host=db.plant.example sslmode=verify-ca sslrootcert=" + ca:                 true,
		"postgres://andon@db.plant.example/andon":                                   false,
		"postgres://andon@db.plant.example/andon?sslmode=require":                   false,
		"host=db.plant.example sslmode=prefer":                                      false,
		"host=127.0.0.1,db.plant.example sslmode=disable":                           false,
		"host=db.plant.example,other.example sslmode=verify-full sslrootcert=" + ca: true,
		"not a connection string=":                                                  true, // reported elsewhere
	} {
		if err := checkServer(dsn, false); (err == nil) != good {
			t.Errorf("%s: %v", dsn, err)
		}
		if err := checkServer(dsn, true); err != nil {
			t.Errorf("%s, and plaintext is allowed: %v", dsn, err)
		}
	}
}

// certificateFile writes an authority's certificate.
func certificateFile(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
