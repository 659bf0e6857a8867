package oidc

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"

	rp "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Start sends a browser to the provider's login page. back is the page of the command
// center to return to. The error is an *[Error]; then nothing was written.
func (p *Provider) Start(rw http.ResponseWriter, r *http.Request, back string) error {
	d, err := p.discover(r.Context())
	if err != nil {
		return p.count(away(err))
	}
	login := pending{
		State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(),
		Back: localPath(back), Until: p.now().Add(pendingFor),
	}
	sealed, err := p.sealer.seal(login)
	if err != nil {
		return p.count(badToken(err))
	}
	options := []oauth2.AuthCodeOption{rp.Nonce(login.Nonce), oauth2.S256ChallengeOption(login.Verifier)}
	if len(p.config.ACR) > 0 {
		options = append(options, oauth2.SetAuthURLParam("acr_values", strings.Join(p.config.ACR, " ")))
	}
	p.makeRoom(rw, r)
	http.SetCookie(rw, p.cookie(p.nameOf(login.State), sealed))
	rw.Header().Set("Cache-Control", "no-store")
	http.Redirect(rw, r, p.flow(d, "").AuthCodeURL(login.State, options...), http.StatusSeeOther)
	return nil
}

// LogoutURL returns where a browser ends its session at the provider, which then sends it
// on to the command center's page after; "" where the provider offers that not, or is
// away. The provider may ask the person first, for no token is kept that would prove who
// it was, and goes on only to pages registered there.
func (p *Provider) LogoutURL(ctx context.Context, after string) string {
	d, err := p.discover(ctx)
	if err != nil || d.endURL == "" {
		return ""
	}
	u, err := url.Parse(d.endURL)
	if err != nil {
		return ""
	}
	own, err := url.Parse(p.config.RedirectURL)
	if err != nil {
		return ""
	}
	q := u.Query()
	q.Set("client_id", p.config.ClientID)
	q.Set("post_logout_redirect_uri", own.Scheme+"://"+own.Host+localPath(after))
	u.RawQuery = q.Encode()
	return u.String()
}

// count counts a login that failed, and returns its error.
func (p *Provider) count(e *Error) error {
	p.metrics.logins.WithLabelValues(string(e.Result)).Inc()
	return e
}
