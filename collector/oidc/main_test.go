package oidc_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"andon.internal/collector/internal/providertest"
	"andon.internal/collector/oidc"
	"andon.internal/shared/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clientSecret has what is written otherwise in a header and in a form.
const clientSecret = "a secret+of/the%client="

// site is a command center as far as a login needs one.
type site struct {
	*httptest.Server
	t        *testing.T
	provider *providertest.Provider
	login    *oidc.Provider
	metrics  *prometheus.Registry
	log      *safeBuffer
	secret   string
	config   oidc.Config

	mu     sync.Mutex
	ahead  time.Duration // of our clock
	frozen time.Time     // when the clock stopped; zero: it goes
	last   error         // of the last login
}

// outcome is what the callback answers.
type outcome struct {
	Identity oidc.Identity `json:",omitzero"`
	Back     string
	Text     string
}

// newSite starts a provider that knows us and the client "other", and us.
func newSite(t *testing.T, change func(*providertest.Client, *oidc.Config)) *site {
	t.Helper()
	s := &site{t: t, metrics: prometheus.NewRegistry(), log: &safeBuffer{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", s.start)
	mux.HandleFunc("GET /callback", s.callback)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	client := providertest.Client{ID: "andon", Secret: clientSecret, RedirectURL: s.URL + "/callback", LogoutURL: s.URL + "/login"}
	c := oidc.DefaultConfig()
	c.ClientID, c.RedirectURL = client.ID, client.RedirectURL
	c.Scopes, c.NameClaim = append(c.Scopes, "groups"), "name"
	c.Roles = map[string]oidc.Role{
		"andon-viewers": oidc.Viewer, "andon-operators": oidc.Operator,
		"andon-engineers": oidc.Engineer, "andon-admins": oidc.Admin,
	}
	if change != nil {
		change(&client, &c)
	}
	s.secret = client.Secret
	s.provider = providertest.Start(t, client, providertest.Client{ID: "other", Secret: clientSecret, RedirectURL: client.RedirectURL})
	c.Issuer, c.CA = s.provider.Issuer(), config.Path(s.provider.CA())
	s.use(c)
	return s
}

// in returns the site for a part of a test.
func (s *site) in(t *testing.T) *site {
	outer := s.t
	s.t = t
	t.Cleanup(func() { s.t = outer })
	return s
}

// use lets the site log in with a configuration.
func (s *site) use(c oidc.Config) {
	s.t.Helper()
	s.config, s.metrics = c, prometheus.NewRegistry()
	o := oidc.Options{Metrics: s.metrics, Logger: slog.New(slog.NewTextHandler(s.log, nil)), Now: s.now}
	if s.secret != "" {
		o.Secret = func() (string, error) { return s.secret, nil }
	}
	login, err := oidc.New(c, o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.login = login
}

func (s *site) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.frozen.IsZero() {
		return s.frozen.Add(s.ahead)
	}
	return time.Now().Add(s.ahead)
}

// freeze stops our clock, which only forward moves then.
func (s *site) freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = time.Now()
}

// forward puts our clock forward.
func (s *site) forward(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += d
}

func (s *site) start(rw http.ResponseWriter, r *http.Request) {
	if err := s.login.Start(rw, r, r.URL.Query().Get("back")); err != nil {
		s.refuse(rw, err)
	}
}

func (s *site) callback(rw http.ResponseWriter, r *http.Request) {
	who, back, err := s.login.Callback(rw, r)
	if err != nil {
		s.refuse(rw, err)
		return
	}
	_ = json.NewEncoder(rw).Encode(outcome{Identity: who, Back: back})
}

func (s *site) refuse(rw http.ResponseWriter, err error) {
	s.mu.Lock()
	s.last = err
	s.mu.Unlock()
	var e *oidc.Error
	if !errors.As(err, &e) {
		s.t.Errorf("%v is no *Error", err)
		return
	}
	rw.WriteHeader(e.Status())
	_ = json.NewEncoder(rw).Encode(outcome{Text: e.Text})
}

// enter logs in and returns what the callback answered.
func (s *site) enter(browser *http.Client, user string) (providertest.Answer, outcome) {
	s.t.Helper()
	a := s.provider.Login(browser, s.URL+"/login?back=/unit/dyno-1", user, user)
	return a, s.read(a)
}

// again logs in where the provider knows the browser, and shows no form.
func (s *site) again(browser *http.Client) (providertest.Answer, outcome) {
	s.t.Helper()
	a := s.provider.Get(browser, s.URL+"/login")
	return a, s.read(a)
}

func (s *site) read(a providertest.Answer) outcome {
	s.t.Helper()
	var o outcome
	if err := json.Unmarshal([]byte(a.Body), &o); err != nil {
		s.t.Fatalf("%s answered %d %s", a.URL.Path, a.Status, a.Body)
	}
	return o
}

// refused checks how the last login failed, and that neither its error nor the log holds
// what is secret. It returns the cause.
func (s *site) refused(a providertest.Answer, want oidc.Result, status int) string {
	s.t.Helper()
	s.mu.Lock()
	err := s.last
	s.last = nil
	s.mu.Unlock()
	var e *oidc.Error
	if !errors.As(err, &e) || e.Result != want || a.Status != status || e.Text == "" {
		s.t.Fatalf("answered %d %s; error %v, want result %s", a.Status, a.Body, err, want)
	}
	for _, secret := range []string{"eyJ", clientSecret, a.URL.Query().Get("code"), a.URL.Query().Get("state")} {
		if secret != "" && (strings.Contains(err.Error()+s.log.String(), secret) || strings.Contains(e.Text, secret)) {
			s.t.Errorf("%q is in the error or the log: %v\n%s", secret, err, s.log)
		}
	}
	return err.Error()
}

// counted returns a counter of the site.
func (s *site) counted(name, label string) float64 {
	s.t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	s.t.Fatalf("there is no %s of %s", name, label)
	return 0
}

// safeBuffer is a log that is written and read at the same time.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
