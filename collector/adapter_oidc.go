package collector

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"andon.internal/collector/account"
	"andon.internal/collector/oidc"
	"andon.internal/collector/web"
)

// signOn is the identity provider as the pages know it.
type signOn struct {
	provider *oidc.Provider
	home     string // the address of the page behind a logout
}

var _ web.SingleSignOn = signOn{}

// Start sends a browser to the provider.
func (s signOn) Start(rw http.ResponseWriter, r *http.Request, back string) error {
	return signOnError(s.provider.Start(rw, r, back))
}

// Callback takes the provider's answer.
func (s signOn) Callback(rw http.ResponseWriter, r *http.Request) (web.Identity, string, error) {
	who, back, err := s.provider.Callback(rw, r)
	return web.Identity{
		Issuer: who.Issuer, Subject: who.Subject, Name: who.Name, Email: who.Email, Role: account.Role(who.Role),
	}, back, signOnError(err)
}

// LogoutURL is where a browser ends its session at the provider.
func (s signOn) LogoutURL(ctx context.Context) string { return s.provider.LogoutURL(ctx, s.home) }

// signOnError says what of an error the person is shown.
func signOnError(err error) error {
	var e *oidc.Error
	if !errors.As(err, &e) {
		return err
	}
	return &web.SignOnError{Status: e.Status(), Text: e.Text, Err: err}
}

// openSignOn makes the way to the identity provider of a configuration; nil without one.
func (col *Collector) openSignOn(c oidc.Config, o oidc.Options) (web.SingleSignOn, error) {
	if !c.On() {
		return nil, nil
	}
	if c.ClientSecret.IsSet() {
		o.Secret = c.ClientSecret.Read
	}
	p, err := oidc.New(c, o)
	if err != nil {
		return nil, err
	}
	home, err := url.Parse(c.RedirectURL)
	if err != nil {
		return nil, err
	}
	home.Path, home.RawQuery = web.LoggedOutPath, web.LoggedOutQuery
	return signOn{p, home.String()}, nil
}
