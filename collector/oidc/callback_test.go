package oidc_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"andon.internal/collector/oidc"
)

// untilCallback logs a person in at the provider, and returns the address that the
// provider sends the browser back to, which the browser has not opened yet.
func (s *site) untilCallback(browser *http.Client, user string) string {
	s.t.Helper()
	browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), s.URL+"/callback") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	a := s.provider.Login(browser, s.URL+"/login", user, user)
	browser.CheckRedirect = nil
	if !strings.HasPrefix(a.Location, s.URL+"/callback?") {
		s.t.Fatalf("the provider answered %d, to %q: %s", a.Status, a.Location, a.Body)
	}
	return a.Location
}

// clone returns a browser with the same cookies of the site.
func (s *site) clone(browser *http.Client) *http.Client {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	at, err := url.Parse(s.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	jar.SetCookies(at, browser.Jar.Cookies(at))
	return &http.Client{Jar: jar, Transport: browser.Transport}
}

func TestAnswerCountsOnce(t *testing.T) {
	s := newSite(t, nil)
	browser := s.provider.Browser()
	back := s.untilCallback(browser, "adam")
	thief := s.clone(browser) // has even the cookie
	if a := s.provider.Get(browser, back); s.read(a).Identity.Role != oidc.Admin {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	a := s.provider.Get(browser, back)
	if cause := s.refused(a, oidc.Stale, http.StatusBadRequest); !strings.Contains(cause, "without the login's cookie") {
		t.Error(cause)
	}
	a = s.provider.Get(thief, back)
	if cause := s.refused(a, oidc.Stale, http.StatusBadRequest); !strings.Contains(cause, "came before") {
		t.Error(cause)
	}
	if n := s.counted("andon_oidc_logins_total", "stale"); n != 2 {
		t.Errorf("%v are counted", n)
	}
}

func TestStolenAnswerDoesNotCountElsewhere(t *testing.T) {
	s := newSite(t, nil)
	browser, thief := s.provider.Browser(), s.provider.Browser()
	back := s.untilCallback(browser, "adam")
	s.refused(s.provider.Get(thief, back), oidc.Stale, http.StatusBadRequest)

	// With a login of the thief's own under way, and its state.
	own, err := url.Parse(s.untilCallback(thief, "nora"))
	if err != nil {
		t.Fatal(err)
	}
	s.refused(s.provider.Get(thief, back), oidc.Stale, http.StatusBadRequest)
	stolen, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	q := own.Query()
	q.Set("code", stolen.Query().Get("code"))
	own.RawQuery = q.Encode()
	a := s.provider.Get(thief, own.String()) // PKCE: the code is of another login
	if cause := s.refused(a, oidc.Stale, http.StatusBadRequest); !strings.Contains(cause, "invalid_grant") {
		t.Error(cause)
	}
}

func TestForgedStateIsRefused(t *testing.T) {
	s := newSite(t, nil)
	browser := s.provider.Browser()
	back := s.untilCallback(browser, "adam")
	u, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	own := u.Query().Get("state")
	for _, forged := range []string{"", "x", own[:8] + strings.Repeat("A", 18), strings.Repeat("s", 1<<14), own[:25] + ";"} {
		q := u.Query()
		q.Set("state", forged)
		u.RawQuery = q.Encode()
		s.refused(s.provider.Get(browser, u.String()), oidc.Stale, http.StatusBadRequest)
	}
	if a := s.provider.Get(browser, back); s.read(a).Identity.Role != oidc.Admin {
		t.Errorf("the true answer then: %d %s", a.Status, a.Body)
	}
}

func TestSeveralTabsLogIn(t *testing.T) {
	s := newSite(t, nil)
	browser := s.provider.Browser()
	first := s.untilCallback(browser, "adam")
	for range 8 { // they need no form any more
		if a, got := s.again(browser); got.Identity.Role != oidc.Admin {
			t.Fatalf("another tab: %d %s", a.Status, a.Body)
		}
	}
	if a := s.provider.Get(browser, first); s.read(a).Identity.Role != oidc.Admin {
		t.Errorf("the first tab: %d %s", a.Status, a.Body)
	}
	// Who never comes back leaves only so many cookies.
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for range 8 {
		s.provider.Get(browser, s.URL+"/login")
	}
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range browser.Jar.Cookies(at) { // the provider's are of the same address
		if strings.HasPrefix(c.Name, "andon-oidc-") {
			n++
		}
	}
	if n != 4 {
		t.Errorf("%d cookies are left", n)
	}
}

func TestSlowLoginIsRefused(t *testing.T) {
	s := newSite(t, nil)
	browser := s.provider.Browser()
	back := s.untilCallback(browser, "adam")
	s.forward(5 * time.Minute)
	a := s.provider.Get(browser, back)
	if cause := s.refused(a, oidc.Stale, http.StatusBadRequest); !strings.Contains(cause, "too long ago") {
		t.Error(cause)
	}
}

func TestCookieOfBeforeARestartIsRefused(t *testing.T) {
	s := newSite(t, nil)
	browser := s.provider.Browser()
	back := s.untilCallback(browser, "adam")
	s.use(s.config)
	s.refused(s.provider.Get(browser, back), oidc.Stale, http.StatusBadRequest)
}

func TestProviderThatDeclinesIsSaidSo(t *testing.T) {
	s := newSite(t, nil)
	browser := s.provider.Browser()
	u, err := url.Parse(s.untilCallback(browser, "adam"))
	if err != nil {
		t.Fatal(err)
	}
	answer := url.Values{"state": {u.Query().Get("state")}, "error": {"access_denied"}, "error_description": {"<b>no\nway"}}
	a := s.provider.Get(browser, s.URL+"/callback?"+answer.Encode())
	if cause := s.refused(a, oidc.Declined, http.StatusForbidden); !strings.Contains(cause, `error "access_denied": "<b>no\nway"`) {
		t.Error(cause)
	}
}

func TestAnswerOfAnotherIssuerIsRefused(t *testing.T) {
	s := newSite(t, nil)
	browser := s.provider.Browser()
	a := s.provider.Get(browser, s.untilCallback(browser, "adam")+"&iss=https%3A%2F%2Felsewhere.example.com")
	s.refused(a, oidc.BadToken, http.StatusBadGateway)
}

func TestCookieOfALogin(t *testing.T) {
	s := newSite(t, nil)
	browser := s.provider.Browser()
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	look := func() (*http.Cookie, string) {
		resp, err := browser.Get(s.URL + "/login?back=//elsewhere.example.com")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if len(resp.Cookies()) != 1 || resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v", resp.StatusCode, resp.Header)
		}
		return resp.Cookies()[0], resp.Header.Get("Location")
	}
	c, to := look()
	if !strings.HasPrefix(c.Name, "andon-oidc-") || c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.MaxAge != 300 || c.Path != "/" {
		t.Errorf("on loopback: %v", c)
	}
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"response_type": "code", "client_id": "andon", "redirect_uri": s.URL + "/callback",
		"scope": "openid profile email groups", "code_challenge_method": "S256",
	} {
		if got := u.Query().Get(key); got != want {
			t.Errorf("asks for %s %q, want %q", key, got, want)
		}
	}
	public := s.config
	public.RedirectURL = "https://andon.example.com/callback"
	s.use(public)
	if c, _ := look(); !strings.HasPrefix(c.Name, "__Host-andon-oidc-") || !c.Secure || c.Path != "/" {
		t.Errorf("elsewhere: %v", c)
	}
}
