package ca_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"andon.internal/broker/ca"
	"andon.internal/shared/enroll"
)

func newCA(t *testing.T) (*ca.CA, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	c, err := ca.Init(dir, "plant")
	if err != nil {
		t.Fatal(err)
	}
	return c, dir
}

// request makes a certificate request that asks for much more than a certificate.
func request(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	greedy, _ := url.Parse("andon://collector/main")
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "collector.main"}, DNSNames: []string{"broker.plant.example"}, URIs: []*url.URL{greedy},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}}, // CA: true
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// checkCell checks that a certificate says nothing but that its holder is the cell.
func checkCell(t *testing.T, c *x509.Certificate, key *ecdsa.PrivateKey) {
	t.Helper()
	if !key.PublicKey.Equal(c.PublicKey) || c.IsCA || len(c.DNSNames) > 0 || len(c.URIs) != 1 ||
		c.URIs[0].String() != cell.URI().String() || c.Subject.CommonName != cell.Username() ||
		len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || c.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("the certificate is of %v, %v, %v, authority %v, uses %v, %v", c.Subject, c.DNSNames, c.URIs, c.IsCA, c.ExtKeyUsage, c.KeyUsage)
	}
}

func newToken(t *testing.T, c *ca.CA) enroll.Token {
	t.Helper()
	token, _, err := c.NewToken(cell, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestATokenIsGoodOnce(t *testing.T) {
	c, dir := newCA(t)
	token, key := newToken(t, c), newKey(t)
	if token.CA != enroll.Fingerprint(c.Certificate()) {
		t.Error("the token does not name the authority")
	}
	kept, err := os.ReadFile(filepath.Join(dir, "tokens.json"))
	if err != nil || bytes.Contains(kept, []byte(token.Secret.Reveal())) {
		t.Errorf("the folder holds the secret: %s, %v", kept, err)
	}
	if _, _, err := c.Redeem(token.Secret, "line1", "cell-08", request(t, key), time.Hour); !errors.Is(err, ca.ErrTokenOther) {
		t.Errorf("by another cell: %v", err)
	}
	if _, _, err := c.Redeem(token.Secret, "", "", []byte("junk"), time.Hour); !errors.Is(err, ca.ErrRequest) {
		t.Errorf("with junk: %v", err)
	}
	cert, issued, err := c.Redeem(token.Secret, "line1", "cell-07", request(t, key), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	checkCell(t, parse(t, cert), key)
	if issued.Holder != cell.String() {
		t.Errorf("issued %+v", issued)
	}
	again, err := ca.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := again.Redeem(token.Secret, "", "", request(t, key), time.Hour); !errors.Is(err, ca.ErrTokenUsed) {
		t.Errorf("a second time, in another process: %v", err)
	}
	if list := listOf(t, again); len(list) != 1 {
		t.Errorf("issued %+v", list)
	}
}

func TestTokensThatAreNotGood(t *testing.T) {
	c, _ := newCA(t)
	other, _ := newCA(t)
	now := time.Now()
	clock := now
	c.SetClock(func() time.Time { return clock })
	late, ended := newToken(t, c), newToken(t, c)
	redeem := func(s enroll.Secret) error {
		_, _, err := c.Redeem(s, "", "", request(t, newKey(t)), time.Hour)
		return err
	}
	if err := redeem(newToken(t, other).Secret); !errors.Is(err, ca.ErrTokenUnknown) {
		t.Errorf("another authority's: %v", err)
	}
	if err := redeem(enroll.Secret{}); !errors.Is(err, ca.ErrTokenUnknown) {
		t.Errorf("nobody's: %v", err)
	}
	clock = now.Add(time.Hour)
	if err := redeem(late.Secret); !errors.Is(err, ca.ErrTokenExpired) {
		t.Errorf("one that has expired: %v", err)
	}
	clock = now
	if n, err := c.EndTokens(cell.String()); n != 2 || err != nil {
		t.Errorf("%d tokens are ended, %v", n, err)
	}
	if err := redeem(ended.Secret); !errors.Is(err, ca.ErrTokenExpired) {
		t.Errorf("one that was ended: %v", err)
	}
	for _, good := range []time.Duration{0, -1, ca.LongestToken + 1} {
		if _, _, err := c.NewToken(cell, good); err == nil {
			t.Errorf("a token is good for %v", good)
		}
	}
	clock = now.Add(-time.Hour)
	if err := redeem(newToken(t, c).Secret); err == nil || !strings.Contains(err.Error(), "set the clock") {
		t.Errorf("before the authority was made: %v", err)
	}
}

// TestAUsedTokenIsSoBeforeThereIsACertificate: what ends the authority in between leaves
// no token that is good.
func TestAUsedTokenIsSoBeforeThereIsACertificate(t *testing.T) {
	c, dir := newCA(t)
	token := newToken(t, c)
	// The list of what was issued cannot be replaced, that of the tokens can.
	list := filepath.Join(dir, "issued.json")
	was, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	c.SetClock(func() time.Time {
		if err := os.RemoveAll(list); err != nil {
			t.Error(err)
		}
		if err := os.MkdirAll(filepath.Join(list, "in the way"), 0o700); err != nil {
			t.Error(err)
		}
		return time.Now()
	})
	if _, _, err := c.Redeem(token.Secret, "", "", request(t, newKey(t)), time.Hour); err == nil || !strings.Contains(err.Error(), "used up") {
		t.Errorf("redeemed: %v", err)
	}
	if err := os.RemoveAll(list); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, was, 0o600); err != nil {
		t.Fatal(err)
	}
	c.SetClock(time.Now)
	if _, _, err := c.Redeem(token.Secret, "", "", request(t, newKey(t)), time.Hour); !errors.Is(err, ca.ErrTokenUsed) {
		t.Errorf("after the crash: %v", err)
	}
}

func TestRequestsThatAreNotTaken(t *testing.T) {
	c, _ := newCA(t)
	good := request(t, newKey(t))
	forged, _ := pem.Decode(good)
	forged.Bytes[len(forged.Bytes)-1] ^= 1
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string][]byte{
		"nothing": nil, "junk": []byte("junk"), "two": append(append([]byte{}, good...), good...),
		"a certificate":        c.CertPEM(),
		"signed by nobody":     pem.EncodeToMemory(forged),
		"of an RSA key":        request(t, rsaKey),
		"of a curve too small": request(t, p224),
	} {
		if cert, _, err := c.IssueFor(cell, r, time.Hour); !errors.Is(err, ca.ErrRequest) || cert != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list := listOf(t, c); len(list) != 0 {
		t.Errorf("issued %+v", list)
	}
}

// FuzzRequest: nothing but a request that is signed by its key is signed.
func FuzzRequest(f *testing.F) {
	c, err := ca.Init(filepath.Join(f.TempDir(), "ca"), "plant")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, request []byte) {
		if _, _, err := c.IssueFor(cell, request, time.Hour); err != nil && !errors.Is(err, ca.ErrRequest) {
			t.Error(err)
		}
	})
}

func TestRenewal(t *testing.T) {
	c, _ := newCA(t)
	other, _ := newCA(t)
	now := time.Now()
	clock := now
	c.SetClock(func() time.Time { return clock })
	first, issued, err := c.IssueFor(cell, request(t, newKey(t)), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	held, key := parse(t, first), newKey(t)
	renew := func(held *x509.Certificate) error {
		_, _, err := c.Renew(held, request(t, key), time.Hour)
		return err
	}
	clock = now.Add(40 * time.Minute)
	second, _, err := c.Renew(held, request(t, key), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	next := parse(t, second)
	checkCell(t, next, key)
	if next.SerialNumber.Cmp(held.SerialNumber) == 0 || !next.NotAfter.After(held.NotAfter) {
		t.Errorf("renewed to serial number %v until %v", next.SerialNumber, next.NotAfter)
	}
	strange, _, err := other.IssueFor(cell, request(t, key), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := renew(parse(t, strange)); !errors.Is(err, ca.ErrUnknown) {
		t.Errorf("another authority's: %v", err)
	}
	server, _, err := c.IssueServer([]string{"x"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := renew(parse(t, server.Cert)); !errors.Is(err, ca.ErrUnknown) {
		t.Errorf("a server's: %v", err)
	}
	if _, err := c.Revoke(issued.Serial); err != nil {
		t.Fatal(err)
	}
	if err := renew(held); !errors.Is(err, ca.ErrRevoked) {
		t.Errorf("a revoked one: %v", err)
	}
	for range ca.MaxGood - 1 {
		if err := renew(next); err != nil {
			t.Fatal(err)
		}
	}
	if err := renew(next); !errors.Is(err, ca.ErrTooMany) {
		t.Errorf("one more than %d: %v", ca.MaxGood, err)
	}
	clock = now.Add(2 * time.Hour)
	if err := renew(next); !errors.Is(err, ca.ErrExpired) || !strings.Contains(err.Error(), "new token") {
		t.Errorf("an expired one: %v", err)
	}
}

// TestStrangersDoNotHoldTheFolder: a certificate of another authority, or a request that is
// none, is refused while another process has the lists.
func TestStrangersDoNotHoldTheFolder(t *testing.T) {
	c, dir := newCA(t)
	other, _ := newCA(t)
	key := newKey(t)
	var shown []*x509.Certificate
	for _, authority := range []*ca.CA{other, c} {
		cert, _, err := authority.IssueFor(cell, request(t, key), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, parse(t, cert))
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Renew(shown[0], request(t, key), time.Hour); !errors.Is(err, ca.ErrUnknown) {
		t.Errorf("a stranger: %v", err)
	}
	if _, _, err := c.Renew(shown[1], []byte("none"), time.Hour); !errors.Is(err, ca.ErrRequest) {
		t.Errorf("no request: %v", err)
	}
}
