package collector_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon.internal/collector"
	"andon.internal/collector/account"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/config"
	"andon.internal/shared/mtls"
)

const annsPassword = "correct horse battery"

// withLogin makes the pages ask for a login on loopback, too.
func withLogin(c *collector.Config) { c.Web.Login = "required" }

// accountsOf is a configuration for the commands of users and tokens.
func accountsOf(dsn string) collector.Config {
	c := collector.DefaultConfig()
	c.Database.DSN = dsn
	return c
}

// browser is a client of the pages that keeps no cookies by itself.
type browser struct {
	t    testing.TB
	http *http.Client
	url  string
}

func (r *running) browser(scheme string, transport *http.Transport) *browser {
	r.t.Cleanup(transport.CloseIdleConnections)
	return &browser{r.t, &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, scheme + "://" + r.col.PagesAddr()}
}

// do makes a request with a header, such as Cookie.
func (b *browser) do(method, path, form, header, value string) (*http.Response, string) {
	b.t.Helper()
	r, err := http.NewRequest(method, b.url+path, strings.NewReader(form))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set(header, value)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response, string(body)
}

// logIn returns the session's cookie, or nil.
func (b *browser) logIn(name, password string) *http.Cookie {
	b.t.Helper()
	response, _ := b.do(http.MethodPost, "/login", url.Values{"name": {name}, "password": {password}}.Encode(), "Accept", "text/html")
	if cookies := response.Cookies(); len(cookies) == 1 {
		return cookies[0]
	}
	return nil
}

// firstLogIn waits for a user who was just added, with few tries: the pages count them.
func (b *browser) firstLogIn(name, password string) (cookie *http.Cookie) {
	b.t.Helper()
	next := time.Now()
	eventually(b.t, name+" to be known", func() bool {
		if time.Now().Before(next) {
			return false
		}
		next = time.Now().Add(500 * time.Millisecond)
		cookie = b.logIn(name, password)
		return cookie != nil
	})
	return cookie
}

// fleet is the status of a question with a cookie.
func (b *browser) fleet(c *http.Cookie) int {
	b.t.Helper()
	response, _ := b.do(http.MethodGet, "/api/v1/fleet", "", "Cookie", c.Name+"="+c.Value)
	return response.StatusCode
}

// TestLoginsGoOnWithoutTheDatabase stops PostgreSQL under people who are logged in, and
// has others log in and out meanwhile.
func TestLoginsGoOnWithoutTheDatabase(t *testing.T) {
	pg, broker := ownDatabase(t), edgetest.StartBroker(t)
	r := start(t, broker, pg.DSN(), withLogin)
	r.waitReady()
	c, ctx := accountsOf(pg.DSN()), t.Context()
	if err := collector.AddUser(ctx, c, "ann", account.Admin, annsPassword, discard); err != nil {
		t.Fatal(err)
	}
	b := r.browser("http", &http.Transport{})
	var before, meanwhile, left *http.Cookie
	before = b.firstLogIn("ann", annsPassword)
	if b.fleet(before) != http.StatusOK || b.fleet(&http.Cookie{Name: "andon", Value: "x"}) != http.StatusUnauthorized {
		t.Fatal("the pages do not ask for a login")
	}
	kept := func() string { return strings.Join(query(t, pg.DSN(), `SELECT count(*)::text FROM app_session`), "") }
	eventually(t, "the session in the database", func() bool { return kept() == "1" })

	if err := pg.Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the page to tell that the database is away", func() bool {
		_, body := b.do(http.MethodGet, "/api/v1/fleet", "", "Cookie", before.Name+"="+before.Value)
		return contains(body, "DATABASE DOWN")
	})
	if b.logIn("ann", "wrong password") != nil {
		t.Error("a wrong password is taken")
	}
	if meanwhile, left = b.logIn("ann", annsPassword), b.logIn("ann", annsPassword); meanwhile == nil || left == nil {
		t.Fatal("nobody can log in")
	}
	response, _ := b.do(http.MethodPost, "/logout", "key="+account.FormKey(left.Value), "Cookie", left.Name+"="+left.Value)
	if response.StatusCode != http.StatusSeeOther || b.fleet(left) != http.StatusUnauthorized {
		t.Errorf("the logout is answered with %s", response.Status)
	}
	throughout(t, 5*time.Second, "who is logged in stays so", func() bool {
		return b.fleet(before) == http.StatusOK && b.fleet(meanwhile) == http.StatusOK
	})
	if got := r.metric("andon_sessions_unsaved"); got != "2" { // a login and a logout
		t.Errorf("%s are told to be unsaved", got)
	}
	if err := pg.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both sessions in the database", func() bool { return r.metric("andon_sessions_unsaved") == "0" && kept() == "2" })

	r.stop() // and who is logged in stays so
	r = start(t, broker, pg.DSN(), withLogin)
	b = r.browser("http", &http.Transport{})
	eventually(t, "the sessions after a restart", func() bool { return b.fleet(before) == http.StatusOK && b.fleet(meanwhile) == http.StatusOK })
	role := account.Viewer
	if err := collector.SetUser(ctx, c, "ann", collector.UserChange{Role: &role, Force: true}, discard); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the sessions' end", func() bool {
		return b.fleet(before) == http.StatusUnauthorized && b.fleet(meanwhile) == http.StatusUnauthorized
	})
	if got := r.metric(`andon_logins_total{outcome="ok"}`); got != "0" {
		t.Errorf("%s logins are counted", got)
	}
}

// certificate writes a certificate for 127.0.0.1, and returns who trusts it.
func certificate(t *testing.T) (c mtls.ServerConfig, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	own, parseErr := x509.ParseCertificate(der)
	keyDER, keyErr := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err, parseErr, keyErr); err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) config.Path {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return config.Path(path)
	}
	pool = x509.NewCertPool()
	pool.AddCert(own)
	return mtls.ServerConfig{Cert: write("andon.crt", "CERTIFICATE", der), Key: write("andon.key", "PRIVATE KEY", keyDER)}, pool
}

// TestPagesInTLS has a user and a program of the plant.
func TestPagesInTLS(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	files, pool := certificate(t)
	r := start(t, broker, dsn, withLogin, func(c *collector.Config) { c.Web.TLS = files })
	r.waitReady()
	c, ctx := accountsOf(dsn), t.Context()
	if err := collector.AddUser(ctx, c, "ann", account.Viewer, annsPassword, discard); err != nil {
		t.Fatal(err)
	}
	_, token, err := collector.AddToken(ctx, c, "hourly", []account.Scope{account.ScopeHealth}, time.Hour, discard)
	if err != nil {
		t.Fatal(err)
	}
	b := r.browser("https", &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true})
	cookie := b.firstLogIn("ann", annsPassword)
	if cookie.Name != "__Host-andon" || !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode {
		t.Errorf("the cookie is %v", cookie)
	}
	response, page := b.do(http.MethodGet, "/", "", "Cookie", cookie.Name+"="+cookie.Value)
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 2 || response.Header.Get("Strict-Transport-Security") == "" || !contains(page, "ann") {
		t.Errorf("the page is answered with %s in %s, %v", response.Status, response.Proto, response.Header)
	}
	if code := b.fleet(&http.Cookie{Name: "andon", Value: cookie.Value}); code != http.StatusUnauthorized {
		t.Errorf("the session under the name of a plain one: %d", code)
	}
	ready := func(token string) int {
		response, _ := b.do(http.MethodGet, "/readyz", "", "Authorization", "Bearer "+token)
		return response.StatusCode
	}
	eventually(t, "the token to count", func() bool { return ready(token) == http.StatusOK })
	if _, body := b.do(http.MethodGet, "/readyz", "", "Authorization", "Bearer "+token); !contains(body, `"program": "andon-collector"`) {
		t.Errorf("/readyz says %s", body)
	}
	if response, _ := b.do(http.MethodGet, "/api/v1/fleet", "", "Authorization", "Bearer "+token); response.StatusCode != http.StatusForbidden {
		t.Errorf("a token of the scope health reads: %s", response.Status)
	}
	if err := collector.RevokeToken(ctx, c, "hourly", discard); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the token's end", func() bool { return ready(token) == http.StatusUnauthorized })
	if response, err := http.Get("http://" + r.col.PagesAddr() + "/"); err == nil {
		response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("in the clear: %s", response.Status)
		}
	}
}
