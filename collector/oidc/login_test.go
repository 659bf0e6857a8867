package oidc_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"andon.internal/collector/internal/providertest"
	"andon.internal/collector/oidc"
)

func TestEachRoleLogsIn(t *testing.T) {
	s := newSite(t, nil)
	for user, role := range map[string]oidc.Role{"vera": oidc.Viewer, "otto": oidc.Operator, "erna": oidc.Engineer, "adam": oidc.Admin} {
		a, got := s.enter(s.provider.Browser(), user)
		want := outcome{oidc.Identity{
			Issuer: s.provider.Issuer(), Subject: user,
			Name: string(user[0]-32) + user[1:] + " Test", Email: user + "@example.com", Role: role,
		}, "/unit/dyno-1", ""}
		if a.Status != http.StatusOK || got != want {
			t.Errorf("%s: %d %+v, want %+v", user, a.Status, got, want)
		}
	}
	if n := s.counted("andon_oidc_logins_total", "ok"); n != 4 {
		t.Errorf("%v logins are counted", n)
	}
}

func TestWrongPasswordLeavesThePersonAtTheProvider(t *testing.T) {
	s := newSite(t, nil)
	browser := s.provider.Browser()
	a := s.provider.Login(browser, s.URL+"/login", "adam", "eve")
	if a.URL.Host == s.Listener.Addr().String() {
		t.Fatalf("came back to %s: %s", a.URL, a.Body)
	}
	if a, got := s.enter(browser, "adam"); got.Identity.Role != oidc.Admin {
		t.Errorf("the right password then: %d %+v", a.Status, got)
	}
}

func TestWhoHasNoRoleIsRefused(t *testing.T) {
	s := newSite(t, nil)
	for user, hint := range map[string]string{"nora": "none of the configured roles in claim groups", "nemo": "neither ID token nor userinfo has the claim"} {
		a, got := s.enter(s.provider.Browser(), user)
		cause := s.refused(a, oidc.NoRole, http.StatusForbidden)
		name := string(user[0]-32) + user[1:] + " Test"
		if !strings.Contains(cause, hint) || !strings.Contains(got.Text, name) {
			t.Errorf("%s is told %q; the log %q", user, got.Text, cause)
		}
	}
}

func TestClaimsThatOnlyUserinfoHas(t *testing.T) {
	s := newSite(t, func(client *providertest.Client, _ *oidc.Config) { client.Sparse = true })
	if a, got := s.enter(s.provider.Browser(), "erna"); got.Identity.Role != oidc.Engineer || got.Identity.Name != "Erna Test" {
		t.Fatalf("%d %+v", a.Status, got)
	}
	s.provider.Alter(change("/oauth2/userinfo", func(o object) { o["sub"], o["groups"] = "adam", []string{"andon-admins"} }))
	a, _ := s.enter(s.provider.Browser(), "erna")
	if cause := s.refused(a, oidc.BadToken, http.StatusBadGateway); !strings.Contains(cause, "another subject") {
		t.Error(cause)
	}
}

func TestKeysAreReplacedWhileWeRun(t *testing.T) {
	s := newSite(t, nil)
	for range 3 {
		if a, got := s.enter(s.provider.Browser(), "otto"); got.Identity.Role != oidc.Operator {
			t.Fatalf("%d %+v", a.Status, got)
		}
		s.provider.Rotate()
	}
}

func TestLogoutAtTheProvider(t *testing.T) {
	s := newSite(t, nil)
	browser := s.provider.Browser()
	s.enter(browser, "vera")
	u, err := url.Parse(s.login.LogoutURL(t.Context(), "/login"))
	if err != nil || !strings.HasPrefix(u.String(), s.provider.Issuer()) {
		t.Fatalf("%s, %v", u, err)
	}
	if q := u.Query(); q.Get("client_id") != "andon" || q.Get("post_logout_redirect_uri") != s.URL+"/login" {
		t.Errorf("asks %v", q)
	}
	// The person says yes, is sent on to our page, and from there to log in anew.
	a := s.provider.Submit(browser, s.provider.Get(browser, u.String()), map[string]string{"confirm": "1"})
	if a.URL.Path != "/oauth2/authorize" || !strings.Contains(a.Body, `name="password"`) {
		t.Errorf("a logout leads to %d %s: %s", a.Status, a.URL, a.Body)
	}
	s.provider.Down()
	s.use(s.config)
	if got := s.login.LogoutURL(t.Context(), "/"); got != "" {
		t.Errorf("a provider that is away has %q", got)
	}
}

func TestPublicClientLogsIn(t *testing.T) {
	s := newSite(t, func(client *providertest.Client, _ *oidc.Config) { client.Secret = "" })
	if a, got := s.enter(s.provider.Browser(), "otto"); got.Identity.Role != oidc.Operator {
		t.Errorf("%d %+v", a.Status, got)
	}
}

func TestStrongLoginsAreDemanded(t *testing.T) {
	s := newSite(t, nil)
	strong := s.config
	strong.ACR = []string{"loa-5"}
	s.use(strong)
	a, _ := s.enter(s.provider.Browser(), "adam")
	if cause := s.refused(a, oidc.Declined, http.StatusForbidden); !strings.Contains(cause, `acr "loa-2" is none of [loa-5]`) {
		t.Error(cause)
	}
	strong.ACR, strong.AMR = []string{"loa-1", "loa-2"}, []string{"mfa"}
	s.use(strong)
	a, _ = s.enter(s.provider.Browser(), "adam")
	if cause := s.refused(a, oidc.Declined, http.StatusForbidden); !strings.Contains(cause, "amr") {
		t.Error(cause)
	}
	strong.AMR = nil
	s.use(strong)
	if a, got := s.enter(s.provider.Browser(), "adam"); got.Identity.Role != oidc.Admin {
		t.Errorf("%d %+v", a.Status, got)
	}
}

func TestWrongSecretSaysWhatToCheck(t *testing.T) {
	s := newSite(t, nil)
	s.secret = "another secret"
	a, _ := s.enter(s.provider.Browser(), "adam")
	if cause := s.refused(a, oidc.BadToken, http.StatusBadGateway); !strings.Contains(cause, "check client_id and the client's secret") {
		t.Error(cause)
	}
}
