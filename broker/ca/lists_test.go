package ca_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"andon.internal/broker/ca"
)

// TestSeveralProcesses use one folder at the same time: nothing that one of them wrote
// is lost.
func TestSeveralProcesses(t *testing.T) {
	c, dir := newCA(t)
	const each = 8
	var all sync.WaitGroup
	for range 3 {
		another, err := ca.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			for range each {
				if _, _, err := another.Issue(cell, time.Hour); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		for range each {
			if _, _, err := c.NewToken(cell, time.Hour); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	if list := listOf(t, c); len(list) != 3*each {
		t.Errorf("%d certificates are listed, want %d", len(list), 3*each)
	}
	if n, err := c.EndTokens(cell.String()); n != each || err != nil {
		t.Errorf("%d tokens, %v", n, err)
	}
	if list, err := c.Revoke(cell.String()); len(list) != 3*each || err != nil {
		t.Errorf("%d are revoked, %v", len(list), err)
	}
	raw, err := c.CRL()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	crl, err := x509.ParseRevocationList(block.Bytes)
	if err != nil || len(crl.RevokedCertificateEntries) != 3*each {
		t.Errorf("%d are on the list, %v", len(crl.RevokedCertificateEntries), err)
	}
}

// TestRootLeavesTheFilesToTheOwner of the folder, who may be the service's user.
func TestRootLeavesTheFilesToTheOwner(t *testing.T) {
	c, dir := newCA(t)
	if os.Geteuid() == 0 { // everybody else has no other owner to leave it to
		if err := os.Chown(dir, 4321, 4321); err != nil {
			t.Fatal(err)
		}
	}
	owner := func(path string) uint32 {
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return fi.Sys().(*syscall.Stat_t).Uid
	}
	newToken(t, c)
	if _, _, err := c.Issue(cell, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Revoke(cell.String()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tokens.json", "issued.json", "revoked.crl", "lock"} {
		if got, want := owner(filepath.Join(dir, name)), owner(dir); got != want {
			t.Errorf("%s is owned by %d, and the folder by %d", name, got, want)
		}
	}
}

// TestWhatIsForgotten: certificates that expired long ago, but never a revoked one.
func TestWhatIsForgotten(t *testing.T) {
	c, _ := newCA(t)
	for range 2 {
		if _, _, err := c.Issue(cell, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	revoked := listOf(t, c)[0].Serial
	if _, err := c.Revoke(revoked); err != nil {
		t.Fatal(err)
	}
	newToken(t, c)
	c.SetClock(func() time.Time { return time.Now().Add(ca.ForgetAfter + 2*time.Hour) })
	if _, _, err := c.Issue(cell, time.Hour); err != nil {
		t.Fatal(err)
	}
	if list := listOf(t, c); len(list) != 2 || list[0].Serial != revoked {
		t.Errorf("listed %+v", list)
	}
}
