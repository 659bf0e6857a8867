package oidc_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon.internal/collector/oidc"
	"andon.internal/shared/config"
)

func TestProviderIsAwayAtFirst(t *testing.T) {
	s := newSite(t, nil)
	s.freeze()
	s.provider.Down()
	browser := s.provider.Browser()
	for range 3 { // it is asked once, then a pause begins
		s.refused(s.provider.Get(browser, s.URL+"/login"), oidc.Away, http.StatusServiceUnavailable)
	}
	if n := s.counted("andon_oidc_provider_failures_total", "unreachable"); n != 1 {
		t.Errorf("the provider was asked %v times", n)
	}
	if n := s.counted("andon_oidc_logins_total", "provider"); n != 3 {
		t.Errorf("%v logins are counted", n)
	}
	s.forward(time.Second)
	s.refused(s.provider.Get(browser, s.URL+"/login"), oidc.Away, http.StatusServiceUnavailable)
	if n := s.counted("andon_oidc_provider_failures_total", "unreachable"); n != 2 {
		t.Errorf("after the pause the provider was asked %v times", n)
	}
	s.provider.Up()
	s.forward(time.Second) // the pause is two by now
	s.refused(s.provider.Get(browser, s.URL+"/login"), oidc.Away, http.StatusServiceUnavailable)
	s.forward(time.Second)
	if a, got := s.enter(browser, "otto"); got.Identity.Role != oidc.Operator {
		t.Errorf("when it is back: %d %+v", a.Status, got)
	}
	if log := s.log.String(); strings.Count(log, "\n") != 2 || !strings.Contains(log, "answers again") {
		t.Errorf("logged\n%s", log)
	}
}

func TestProviderGoesDuringALogin(t *testing.T) {
	s := newSite(t, nil)
	browser := s.provider.Browser()
	back := s.untilCallback(browser, "otto")
	s.provider.Down()
	s.refused(s.provider.Get(browser, back), oidc.Away, http.StatusServiceUnavailable)
	s.provider.Up()
	s.provider.Break()
	browser = s.provider.Browser()
	if a := s.provider.Get(browser, s.URL+"/login"); a.Status != http.StatusBadGateway {
		t.Errorf("the provider answers %d", a.Status) // the browser is there already
	}
	s.provider.Mend()
	if a, got := s.enter(s.provider.Browser(), "otto"); got.Identity.Role != oidc.Operator {
		t.Errorf("when it is back: %d %+v", a.Status, got)
	}
}

// TestProviderAnswersBadly has a front that answers a question as it should not.
func TestProviderAnswersBadly(t *testing.T) {
	s := newSite(t, nil)
	const discovery = "/.well-known/openid-configuration"
	long := strings.Repeat("x", 2<<20)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("code and secret were sent elsewhere")
	}))
	t.Cleanup(elsewhere.Close)
	for name, c := range map[string]struct {
		path   string
		answer http.HandlerFunc
		result oidc.Result
		want   string
	}{
		"discovery is moved":        {discovery, func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/elsewhere", http.StatusFound) }, oidc.Away, "answered 302"},
		"discovery is not there":    {discovery, http.NotFound, oidc.Away, "answered 404"},
		"discovery is no JSON":      {discovery, func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, long) }, oidc.Away, "too long"},
		"discovery of another":      {discovery, plain(`{"issuer":"https://elsewhere.example.com"}`), oidc.Away, "issuer"},
		"a token endpoint in clear": {discovery, plain(fmt.Sprintf(`{"issuer":%q,"authorization_endpoint":"https://a.example.com","token_endpoint":"http://a.example.com","jwks_uri":"https://a.example.com"}`, s.provider.Issuer())), oidc.Away, "token_endpoint"},
		"tokens without end":        {"/oauth2/token", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, `{"access_token":"`+long) }, oidc.BadToken, "exchange the code"},
		"tokens fail":               {"/oauth2/token", func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "eyJ", http.StatusInternalServerError) }, oidc.Away, "answered 500"},
		"tokens are elsewhere": {"/oauth2/token", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, oidc.BadToken, "answered 307"},
		"keys fail":        {"/oauth2/jwks", func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "", http.StatusServiceUnavailable) }, oidc.Away, "answered 503"},
		"keys without end": {"/oauth2/jwks", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, long) }, oidc.BadToken, "signature"},
		"keys are no JSON": {"/oauth2/jwks", plain(strings.Repeat("x", 10_000)), oidc.BadToken, "signature"},
		"no keys":          {"/oauth2/jwks", plain(`{"keys":[]}`), oidc.BadToken, "signature"},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			s.use(s.config)
			browser := s.provider.Browser()
			open := func() string { return s.URL + "/login" }
			if c.path != discovery {
				back := s.untilCallback(browser, "adam")
				open = func() string { return back }
			}
			s.provider.Alter(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if r.URL.Path == c.path {
						next = c.answer
					}
					next.ServeHTTP(rw, r)
				})
			})
			defer s.provider.Alter(nil)
			a := s.provider.Get(browser, open())
			status := http.StatusServiceUnavailable
			if c.result == oidc.BadToken {
				status = http.StatusBadGateway
			}
			if cause := s.refused(a, c.result, status); !strings.Contains(cause, c.want) || len(cause) > 500 {
				t.Errorf("%q does not say %q", cause, c.want)
			}
		})
	}
}

func plain(text string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprint(rw, text)
	}
}

func TestAuthorityOfTheProvider(t *testing.T) {
	s := newSite(t, nil)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"": "certificate", empty: "no certificate in PEM", empty + "x": "no such file"} {
		c := s.config
		c.CA = config.Path(path)
		s.use(c)
		a := s.provider.Get(s.provider.Browser(), s.URL+"/login")
		if cause := s.refused(a, oidc.Away, http.StatusServiceUnavailable); !strings.Contains(cause, want) {
			t.Errorf("%q: %q does not say %q", path, cause, want)
		}
	}
}
