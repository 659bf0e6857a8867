// Package identitytest is an authority and its service for tests: it signs for tokens and
// for certificates, and can be told to be away, to refuse, or to lose an answer.
//
// It is not andon-broker ca serve, which the agent's module does not know: the tests of
// deploy/lab run that.
package identitytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"andon.internal/shared/enroll"
)

// Authority signs.
type Authority struct {
	t    testing.TB
	Dir  string // holds ca.crt and revoked.crl
	Cert *x509.Certificate
	// Shown stands behind the service's own certificate; an impostor's is another's.
	Shown *x509.Certificate
	key   *ecdsa.PrivateKey

	mu     sync.Mutex
	life   time.Duration
	fault  *enroll.Fault
	tokens map[enroll.Secret][2]string // group and node
	served int
}

// New makes an authority that has been one for a year.
func New(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, Dir: t.TempDir(), key: newKey(t), life: time.Hour, tokens: map[enroll.Secret][2]string{}}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "plant"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(19, 0, 0), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.Cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.Shown = a.Cert
	a.write("ca.crt", encode("CERTIFICATE", der))
	a.Revoke()
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// write replaces a file of the authority, and returns where it is.
func (a *Authority) write(name string, b []byte) string {
	a.t.Helper()
	path := filepath.Join(a.Dir, name)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		a.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// sign makes a certificate for 127.0.0.1 and, if there is one, a node.
func (a *Authority) sign(public crypto.PublicKey, group, node string, from, until time.Time) []byte {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62)) // never fails
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: from, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if node != "" {
		t.Subject.CommonName, t.IPAddresses = node, nil
		t.URIs = []*url.URL{{Scheme: "andon", Host: "node", Path: "/" + group + "/" + node}}
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.Cert, public, a.key)
	if err != nil {
		a.t.Error(err)
	}
	return der
}

// Issue writes key and certificate into one file; without a node, of a server.
func (a *Authority) Issue(name, group, node string, from, until time.Time) (path string) {
	a.t.Helper()
	key := newKey(a.t)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	der := a.sign(key.Public(), group, node, from, until)
	return a.write(name, append(encode("PRIVATE KEY", keyDER), encode("CERTIFICATE", der)...))
}

// Revoke lists certificates, and only these, as revoked.
func (a *Authority) Revoke(list ...*x509.Certificate) {
	a.t.Helper()
	now := time.Now()
	l := &x509.RevocationList{Number: big.NewInt(now.UnixNano()), ThisUpdate: now.Add(-time.Minute), NextUpdate: now.AddDate(1, 0, 0)}
	for _, c := range list {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: now})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, a.Cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write("revoked.crl", encode("X509 CRL", der))
}

// Token makes one for a node.
func (a *Authority) Token(group, node string) enroll.Token {
	a.mu.Lock()
	defer a.mu.Unlock()
	token := enroll.NewToken(a.Cert)
	a.tokens[token.Secret] = [2]string{group, node}
	return token
}

// SetLife says how long what is issued from now on is good.
func (a *Authority) SetLife(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.life = d
}

// SetFault makes the service give this answer; nil: an honest one.
func (a *Authority) SetFault(f *enroll.Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault = f
}

// Served returns how many certificates the service has issued.
func (a *Authority) Served() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.served
}

// LostAnswer is a fault for which the service signs, and breaks the connection off.
var LostAnswer = &enroll.Fault{Code: "lost"}

// Serve runs the service until the test ends, and returns its address.
func (a *Authority) Serve() string {
	a.t.Helper()
	now := time.Now()
	path := a.Issue("service.pem", "", "", now.Add(-time.Hour), now.Add(24*time.Hour))
	own, err := tls.LoadX509KeyPair(path, path)
	if err != nil {
		a.t.Fatal(err)
	}
	own.Certificate = append(own.Certificate, a.Shown.Raw)
	s := httptest.NewUnstartedServer(a)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	a.t.Cleanup(s.Close)
	return s.URL
}

// ServeHTTP answers.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q enroll.Request
	if err := json.NewDecoder(io.LimitReader(r.Body, enroll.MaxBody)).Decode(&q); err != nil {
		a.t.Error(err)
	}
	answer, fault := a.answer(r, q)
	if fault == LostAnswer {
		panic(http.ErrAbortHandler)
	}
	if fault != nil {
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(fault) // the cell may be gone
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (a *Authority) answer(r *http.Request, q enroll.Request) (enroll.Answer, *enroll.Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fault != nil && a.fault != LostAnswer {
		return enroll.Answer{}, a.fault
	}
	var who [2]string
	now := time.Now()
	if r.URL.Path == enroll.EnrollPath {
		secret, err := enroll.ParseSecret(q.Secret)
		var known bool
		if who, known = a.tokens[secret]; err != nil || !known {
			return enroll.Answer{}, &enroll.Fault{Code: enroll.BadToken, Error: "the token was used already"}
		}
		if q.Group+q.Node != "" && who != [2]string{q.Group, q.Node} {
			return enroll.Answer{}, &enroll.Fault{Code: enroll.WrongNode, Error: fmt.Sprint("the token is of ", who)}
		}
		delete(a.tokens, secret)
	} else {
		held := r.TLS.PeerCertificates[0]
		if now.After(held.NotAfter) {
			return enroll.Answer{}, &enroll.Fault{Code: enroll.Expired, Error: "the certificate has expired"}
		}
		who = [2]string{filepath.Base(filepath.Dir(held.URIs[0].Path)), filepath.Base(held.URIs[0].Path)}
	}
	block, _ := pem.Decode([]byte(q.CSR))
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		a.t.Error(err)
	}
	der := a.sign(request.PublicKey, who[0], who[1], now.Add(-a.life/100), now.Add(a.life))
	a.served++
	return enroll.Answer{
		Certificate: string(encode("CERTIFICATE", der)), CA: string(encode("CERTIFICATE", a.Cert.Raw)), Group: who[0], Node: who[1],
	}, a.fault
}
