package web_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"andon.internal/collector/account"
	"andon.internal/collector/web"
)

func TestRequestsAreLimited(t *testing.T) {
	f, _ := setUpDoor(t)
	count := func(n int, header ...string) (served int) {
		for range n {
			rec := f.do(http.MethodGet, "/api/v1/cells", "", header...)
			switch rec.Code {
			case http.StatusTooManyRequests:
				if rec.Header().Get("Retry-After") == "" {
					t.Fatal("it is not said when to try again")
				}
			default:
				served++
			}
		}
		return served
	}
	viewer, _ := f.enter("viewer")
	operator, _ := f.enter("operator")
	if n := count(200); n > 150 {
		t.Errorf("%d of 200 requests of nobody are answered", n)
	}
	if n := count(600, "Cookie", viewer); n < 300 || n > 450 {
		t.Errorf("%d of 600 requests of one session are answered", n)
	}
	if n := count(50, "Cookie", operator); n != 50 {
		t.Errorf("%d of 50 requests of another session are answered", n)
	}
	if code := f.do(http.MethodGet, "/api/v1/cells", "", "X-Forwarded-For", "198.51.100.1").Code; code != http.StatusUnauthorized {
		t.Errorf("another address behind the proxy: %d", code)
	}
	count(200)
	if code := f.do(http.MethodGet, "/api/v1/cells", "", "X-Forwarded-For", "198.51.100.1, 192.0.2.1, nonsense").Code; code != http.StatusTooManyRequests {
		t.Errorf("what is no address is taken for one: %d", code)
	}
}

// TestStrangersAreNotBelieved: who is no proxy of ours is limited by their own address,
// whatever they say it is.
func TestStrangersAreNotBelieved(t *testing.T) {
	f, _ := setUpDoor(t)
	answered := 0
	for i := range 200 {
		r := newRequest(http.MethodGet, "/api/v1/cells", "127.0.0.1")
		r.RemoteAddr = "198.51.100.9:5"
		r.Header.Set("X-Forwarded-For", fmt.Sprint("10.0.0.", i))
		if f.serve(r).Code != http.StatusTooManyRequests {
			answered++
		}
	}
	if answered > 150 {
		t.Errorf("%d of 200 requests of one address are answered", answered)
	}
}

func TestAccountsAreToldToAdmins(t *testing.T) {
	f, _ := setUpDoor(t)
	cookie, _ := f.enter("admin")
	body := f.do(http.MethodGet, "/api/v1/accounts", "", "Cookie", cookie).Body.String()
	for _, want := range []string{`"name":"viewer"`, `"from":"192.0.2.1"`, `"role":"admin"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the answer lacks %s: %s", want, body)
		}
	}
	if strings.Contains(body, "argon2") || strings.Contains(body, strings.TrimPrefix(cookie, "andon=")) {
		t.Errorf("the answer tells secrets: %s", body)
	}
}

func TestSecureHeaders(t *testing.T) {
	f, _ := setUpDoor(t)
	for _, path := range []string{"/", "/login", "/api/v1/fleet", "/assets/app.css", "/readyz"} {
		h := f.do(http.MethodGet, path, "").Header()
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Permissions-Policy": "camera=()",
		} {
			if !strings.HasPrefix(h.Get(name), want) {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
	}
}

// provider is an identity provider that vouches for whom it is told to.
type provider struct {
	who web.Identity
	err error
}

func (p *provider) LogoutURL(context.Context) string { return "https://id.example/logout" }

func (p *provider) Start(rw http.ResponseWriter, r *http.Request, back string) error {
	http.Redirect(rw, r, "https://id.example/?back="+url.QueryEscape(back), http.StatusFound)
	return nil
}

func (p *provider) Callback(http.ResponseWriter, *http.Request) (web.Identity, string, error) {
	return p.who, "//evil.example", p.err
}

func TestSingleSignOn(t *testing.T) {
	f, _ := setUpDoor(t)
	p := &provider{who: web.Identity{Subject: "17", Name: "ann@plant.example", Email: "ann@plant.example", Role: account.Operator}}
	f.signOn = p
	var err error
	if f.web, err = web.New(web.Config{Exposure: web.Exposure{Login: web.LoginRequired}}, f.sources()); err != nil {
		t.Fatal(err)
	}
	if page := f.do(http.MethodGet, "/login?back=%2Funit%2Fa", "").Body.String(); !strings.Contains(page, `href="/login/sso?back=%2funit%2fa"`) {
		t.Errorf("the page does not lead to the provider: %s", page)
	}
	if rec := f.do(http.MethodGet, "/login/sso?back=%2Funit%2Fa", ""); rec.Header().Get("Location") != "https://id.example/?back=%2Funit%2Fa" {
		t.Errorf("it leads to %q", rec.Header().Get("Location"))
	}
	rec := f.do(http.MethodGet, "/login/sso/callback", "")
	if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), `content="0; url=/"`) || len(rec.Result().Cookies()) != 1 {
		t.Fatalf("signed on: %d %s", rec.Code, rec.Body)
	}
	c := rec.Result().Cookies()[0]
	if page := text(f.do(http.MethodGet, "/", "", "Cookie", c.Name+"="+c.Value).Body.String()); !strings.Contains(page, "ann@plant.example (sso) operator Log out") {
		t.Errorf("the page: %s", page)
	}
	for name, bad := range map[string]provider{
		"refused": {err: errAway}, "no role": {who: web.Identity{Name: "x"}}, "no name": {who: web.Identity{Role: account.Admin}},
		"another role": {who: web.Identity{Name: "x", Role: "root"}},
	} {
		*p = bad
		rec := f.do(http.MethodGet, "/login/sso/callback", "")
		if rec.Code != http.StatusForbidden || len(rec.Result().Cookies()) > 0 || strings.Contains(rec.Body.String(), errAway.Error()) {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
	if got := f.audit.said(); !strings.HasPrefix(got, "ann@plant.example (sso) operator log in ok") || strings.Count(got, "log in failed") != 4 {
		t.Errorf("noted: %s", got)
	}
}

// TestNobodyPassesForAnotherBySingleSignOn: neither for a user who is kept here nor for a
// token; and the claim that the configuration names counts before the address.
func TestNobodyPassesForAnotherBySingleSignOn(t *testing.T) {
	f, _ := setUpDoor(t)
	p := &provider{}
	f.signOn = p
	var err error
	if f.web, err = web.New(web.Config{Exposure: web.Exposure{Login: web.LoginRequired}}, f.sources()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, email, want string }{
		{"admin", "", "admin (sso)"},
		{"token:hourly", "", "token:hourly (sso)"},
		{"", "admin", "admin (sso)"},
		{"Ann Smith", "ann@plant.example", "Ann Smith"},
	} {
		p.who = web.Identity{Subject: "17", Name: tt.name, Email: tt.email, Role: account.Operator}
		f.do(http.MethodGet, "/login/sso/callback", "")
		if got := f.audit.said(); !strings.HasSuffix(got, tt.want+" operator log in ok") {
			t.Errorf("%q, %q is noted as: %s", tt.name, tt.email, got)
		}
	}
}

// TestStrangersDoNotFillTheLog with answers of a provider that are none.
func TestStrangersDoNotFillTheLog(t *testing.T) {
	f, _ := setUpDoor(t)
	f.signOn = &provider{err: errAway}
	var log strings.Builder
	c := web.Config{
		Exposure: web.Exposure{Login: web.LoginRequired}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Now: func() time.Time { return time.Unix(1_700_000_000, 0) },
	}
	var err error
	if f.web, err = web.New(c, f.sources()); err != nil {
		t.Fatal(err)
	}
	for range 60 {
		f.do(http.MethodGet, "/login/sso/callback", "")
	}
	if n := strings.Count(log.String(), "a single sign-on failed"); n != 20 {
		t.Errorf("60 failures are in the log %d times", n)
	}
}
