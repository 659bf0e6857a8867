package registrar_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"andon.internal/broker/access"
	"andon.internal/broker/ca"
	"andon.internal/broker/registrar"
	"andon.internal/shared/enroll"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var cell = access.Identity{Role: access.Node, Group: "line1", Name: "cell-07"}

// service is a registrar under test.
type service struct {
	*ca.CA
	t         *testing.T
	url       string
	log       *logBuffer
	registry  *prometheus.Registry
	registrar *registrar.Registrar
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t *testing.T, change func(*registrar.Config)) *service {
	t.Helper()
	authority, err := ca.Init(filepath.Join(t.TempDir(), "ca"), "plant")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{CA: authority, t: t, log: &logBuffer{}, registry: prometheus.NewRegistry()}
	c := registrar.Config{
		Listen: "127.0.0.1:0", Names: []string{"127.0.0.1"}, Life: time.Hour,
		Logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Registry: s.registry,
	}
	if change != nil {
		change(&c)
	}
	r, err := registrar.Open(c, authority)
	if err != nil {
		t.Fatal(err)
	}
	s.url, s.registrar = "https://"+r.Addr(), r
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// client trusts the authority, and shows a certificate if there is one.
func (s *service) client(show ...tls.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: show}, DisableKeepAlives: true}
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

// post sends a body and returns status, answer and fault.
func (s *service) post(c *http.Client, path string, body any) (int, enroll.Answer, enroll.Fault) {
	s.t.Helper()
	var b []byte
	if text, ok := body.(string); ok {
		b = []byte(text)
	} else {
		var err error
		if b, err = json.Marshal(body); err != nil {
			s.t.Fatal(err)
		}
	}
	resp, err := c.Post(s.url+path, "application/json", bytes.NewReader(b))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var a enroll.Answer
	var f enroll.Fault
	if json.Unmarshal(text, &a) != nil || json.Unmarshal(text, &f) != nil {
		s.t.Fatalf("%s answers %d %q", path, resp.StatusCode, text)
	}
	return resp.StatusCode, a, f
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func csr(t *testing.T, k *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func (s *service) token() enroll.Token {
	s.t.Helper()
	token, _, err := s.NewToken(cell, time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// certificate joins an answer and its key.
func certificate(t *testing.T, a enroll.Answer, k *ecdsa.PrivateKey) tls.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(a.Certificate))
	if block == nil {
		t.Fatalf("no certificate in %+v", a)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || !k.PublicKey.Equal(leaf.PublicKey) {
		t.Fatalf("the certificate is not of the key: %v", err)
	}
	return tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: k, Leaf: leaf}
}

func (s *service) expect(what string, status int, f enroll.Fault, code enroll.Code) {
	s.t.Helper()
	if f.Code != code || (status == http.StatusOK) != (code == "") || code != "" && f.Error == "" {
		s.t.Errorf("%s: %d %+v, want %q", what, status, f, code)
	}
}

// TestFromTokenToRenewal is a cell's way, with what goes wrong on it.
func TestFromTokenToRenewal(t *testing.T) {
	s := start(t, nil)
	token, key := s.token(), newKey(t)
	request := enroll.Request{Secret: token.Secret.Reveal(), CSR: csr(t, key), Group: "line1", Node: "cell-08"}
	status, _, f := s.post(s.client(), enroll.EnrollPath, request)
	s.expect("another cell", status, f, enroll.WrongNode)
	request.Node = "cell-07"
	status, a, f := s.post(s.client(), enroll.EnrollPath, request)
	s.expect("enrolment", status, f, "")
	if a.Group != "line1" || a.Node != "cell-07" || a.CA != string(s.CertPEM()) {
		t.Errorf("answer %+v", a)
	}
	first := certificate(t, a, key)
	status, _, f = s.post(s.client(), enroll.EnrollPath, request)
	s.expect("the token again", status, f, enroll.BadToken)

	key = newKey(t)
	renewal := enroll.Request{CSR: csr(t, key)}
	status, _, f = s.post(s.client(), enroll.RenewPath, renewal)
	s.expect("renewal by nobody", status, f, enroll.NoIdentity)
	status, a, f = s.post(s.client(first), enroll.RenewPath, renewal)
	s.expect("renewal", status, f, "")
	second := certificate(t, a, key)
	if second.Leaf.URIs[0].String() != cell.URI().String() || second.Leaf.SerialNumber.Cmp(first.Leaf.SerialNumber) == 0 {
		t.Errorf("renewed to %v, %v", second.Leaf.URIs, second.Leaf.SerialNumber)
	}
	status, _, f = s.post(s.client(second), enroll.RenewPath, enroll.Request{CSR: "none"})
	s.expect("renewal without a request", status, f, enroll.BadRequest)

	stranger := start(t, nil)
	other := stranger.token()
	status, a, f = stranger.post(stranger.client(), enroll.EnrollPath, enroll.Request{Secret: other.Secret.Reveal(), CSR: csr(t, key)})
	s.expect("elsewhere", status, f, "")
	status, _, f = s.post(s.client(certificate(t, a, key)), enroll.RenewPath, renewal)
	s.expect("renewal by a stranger", status, f, enroll.Unknown)

	if _, err := s.Revoke(cell.String()); err != nil {
		t.Fatal(err)
	}
	status, _, f = s.post(s.client(second), enroll.RenewPath, renewal)
	s.expect("renewal of what is revoked", status, f, enroll.Revoked)
	resp, err := s.client().Get(s.url + enroll.CRLPath)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if list, err := io.ReadAll(resp.Body); err != nil || !bytes.HasPrefix(list, []byte("-----BEGIN X509 CRL-----")) {
		t.Errorf("the list is %q, %v", list, err)
	}
	if text := s.log.String(); strings.Contains(text, token.Secret.Reveal()) || strings.Contains(text, "PRIVATE KEY") ||
		!strings.Contains(text, "certificate issued") || !strings.Contains(text, "request refused") {
		t.Errorf("the log is\n%s", text)
	}
	want := `
# HELP andon_registrar_requests_total Requests by path, and by result: ok, or why not.
# TYPE andon_registrar_requests_total counter
andon_registrar_requests_total{request="/v1/crl",result="ok"} 1
andon_registrar_requests_total{request="/v1/enroll",result="bad_token"} 1
andon_registrar_requests_total{request="/v1/enroll",result="ok"} 1
andon_registrar_requests_total{request="/v1/enroll",result="wrong_node"} 1
andon_registrar_requests_total{request="/v1/renew",result="bad_request"} 1
andon_registrar_requests_total{request="/v1/renew",result="no_identity"} 1
andon_registrar_requests_total{request="/v1/renew",result="ok"} 1
andon_registrar_requests_total{request="/v1/renew",result="revoked"} 1
andon_registrar_requests_total{request="/v1/renew",result="unknown"} 1
`
	if err := testutil.GatherAndCompare(s.registry, strings.NewReader(want), "andon_registrar_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestAnExpiredCertificateIsNotRenewed(t *testing.T) {
	s := start(t, func(c *registrar.Config) { c.Life = time.Millisecond })
	key := newKey(t)
	_, a, _ := s.post(s.client(), enroll.EnrollPath, enroll.Request{Secret: s.token().Secret.Reveal(), CSR: csr(t, key)})
	held := certificate(t, a, key)
	time.Sleep(time.Until(held.Leaf.NotAfter.Add(time.Second))) // its life
	status, _, f := s.post(s.client(held), enroll.RenewPath, enroll.Request{CSR: csr(t, key)})
	s.expect("renewal", status, f, enroll.Expired)
	if !strings.Contains(f.Error, "new token") {
		t.Errorf("said %q", f.Error)
	}
}

func TestItsOwnCertificateIsRenewed(t *testing.T) {
	const life = time.Minute // which it looks at every second
	s := start(t, func(c *registrar.Config) { c.OwnLife = life })
	shown := func() string {
		resp, err := s.client().Get(s.url + enroll.CRLPath)
		if err != nil {
			return fmt.Sprint("refused: ", err)
		}
		defer resp.Body.Close()
		chain := resp.TLS.PeerCertificates
		if len(chain) != 2 || !chain[1].Equal(s.Certificate()) {
			t.Errorf("it shows %d certificates", len(chain))
		}
		return chain[0].SerialNumber.Text(16)
	}
	for range 2 {
		aged, err := s.registrar.Age(life / 3)
		if err != nil {
			t.Fatal(err)
		}
		now := shown()
		for end := time.Now().Add(life / 2); now == aged; now = shown() {
			if time.Now().After(end) {
				t.Fatal("when two thirds of its life are over it is not renewed")
			}
			time.Sleep(20 * time.Millisecond)
		}
		if strings.HasPrefix(now, "refused") {
			t.Error(now)
		}
	}
}
