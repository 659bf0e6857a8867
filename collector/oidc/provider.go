package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"time"

	rp "github.com/coreos/go-oidc/v3/oidc"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

// Options are what does not stand in a configuration.
type Options struct {
	// Secret returns the client's secret and is asked at each login; nil for a public
	// client, which PKCE alone protects.
	Secret  func() (string, error)
	Logger  *slog.Logger          // default: none
	Metrics prometheus.Registerer // default: none
	Now     func() time.Time      // default: time.Now
}

// Provider is an identity provider, asked for the first time when somebody logs in. Safe
// for concurrent use.
type Provider struct {
	config  Config
	secret  func() (string, error)
	log     *slog.Logger
	metrics metrics
	now     func() time.Time
	sealer  *sealer
	spent   spent
	once    singleflight.Group // one discovery at a time

	mu    sync.Mutex
	found *discovered
	fails int       // discoveries that failed in a row
	next  time.Time // no discovery before
	last  error     // of the one before
}

// discovered is what a provider said of itself.
type discovered struct {
	provider *rp.Provider
	client   context.Context // carries the HTTP client, as the libraries want it
	keys     rp.KeySet
	endURL   string           // for logout; "" where it offers none
	style    oauth2.AuthStyle // how the client's secret is told
}

// New returns the provider of a checked configuration. It asks nobody.
func New(c Config, o Options) (*Provider, error) {
	if !c.On() {
		return nil, errors.New("oidc: the configuration names no issuer")
	}
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("oidc: %w", err)
	}
	s, err := newSealer()
	if err != nil {
		return nil, err
	}
	p := &Provider{config: c, secret: o.Secret, log: o.Logger, metrics: newMetrics(o.Metrics), now: o.Now, sealer: s}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.now == nil {
		p.now = time.Now
	}
	return p, nil
}

// The time between two discoveries that fail doubles from the first to the second.
const firstPause, lastPause = time.Second, 30 * time.Second

// discover returns what the provider says of itself, and asks where it is not known. Who
// asks too soon after a failure gets that failure.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	found, next, last := p.found, p.next, p.last
	p.mu.Unlock()
	if found != nil {
		return found, nil
	}
	if p.now().Before(next) {
		return nil, last
	}
	// Many may wait for it, so it does not end with the first one's request.
	v, err, _ := p.once.Do("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askWithin)
		defer cancel()
		found, err := p.ask(ctx)
		p.note(found, err)
		return found, err
	})
	if err != nil {
		return nil, err
	}
	return v.(*discovered), nil
}

// note keeps the outcome of a discovery, and says when the provider goes and comes.
func (p *Provider) note(found *discovered, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		if p.fails > 0 {
			p.log.Info("identity provider answers again", "issuer", p.config.Issuer, "failed", p.fails)
		}
		p.found, p.fails, p.last = found, 0, nil
		return
	}
	if p.fails == 0 {
		p.log.Warn("identity provider cannot be used; logins there wait for it", "issuer", p.config.Issuer, "error", err)
	}
	p.last = err
	p.next = p.now().Add(min(firstPause<<min(p.fails, 10), lastPause))
	p.fails++
}

func (p *Provider) ask(ctx context.Context) (*discovered, error) {
	client, err := p.newClient()
	if err != nil {
		return nil, err
	}
	provider, err := rp.NewProvider(rp.ClientContext(ctx, client), p.config.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discover: %w", err)
	}
	var more struct {
		Keys    string   `json:"jwks_uri"`
		End     string   `json:"end_session_endpoint"`
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := provider.Claims(&more); err != nil {
		return nil, fmt.Errorf("discover: %w", err)
	}
	ends := provider.Endpoint()
	for name, u := range map[string]string{
		"authorization_endpoint": ends.AuthURL, "token_endpoint": ends.TokenURL, "jwks_uri": more.Keys,
	} {
		if err := checkEndpoint(u); err != nil {
			return nil, fmt.Errorf("discover: the provider's %s %.200q %w", name, u, err)
		}
	}
	if u := provider.UserInfoEndpoint(); u != "" {
		if err := checkEndpoint(u); err != nil {
			return nil, fmt.Errorf("discover: the provider's userinfo_endpoint %.200q %w", u, err)
		}
	}
	if more.End != "" && checkEndpoint(more.End) != nil {
		more.End = ""
	}
	own := rp.ClientContext(context.Background(), client)
	return &discovered{provider, own, rp.NewRemoteKeySet(own, more.Keys), more.End, style(more.Methods)}, nil
}

// style is how the secret is told: in the form where the provider takes it there. In the
// header, where the standard has it by default, some read a secret with + or % otherwise
// than it was meant. Trying both would use up the code.
func style(methods []string) oauth2.AuthStyle {
	if slices.Contains(methods, "client_secret_post") {
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}

// checkEndpoint is checkURL for what may have a query.
func checkEndpoint(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return errors.New("is no URL")
	}
	u.RawQuery = ""
	return checkURL(u.String())
}

// flow returns the exchange with the provider, with the secret where it is needed.
func (p *Provider) flow(d *discovered, secret string) *oauth2.Config {
	ends := d.provider.Endpoint()
	if ends.AuthStyle = d.style; p.secret == nil {
		ends.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: p.config.ClientID, ClientSecret: secret, Endpoint: ends,
		RedirectURL: p.config.RedirectURL, Scopes: append([]string{rp.ScopeOpenID}, p.config.Scopes...),
	}
}

func (p *Provider) readSecret() (string, error) {
	if p.secret == nil {
		return "", nil
	}
	return p.secret()
}
