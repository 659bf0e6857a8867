package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	rp "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// leeway is how far the provider's clock may be from ours.
const leeway = time.Minute

// algorithms are those whose keys only the provider has. A provider may offer others,
// such as none, or HS256, whose key is the client's secret.
var algorithms = []string{
	rp.RS256, rp.RS384, rp.RS512, rp.ES256, rp.ES384, rp.ES512, rp.PS256, rp.PS384, rp.PS512, rp.EdDSA,
}

// Callback ends a login: it takes the provider's answer, which the browser brings, and
// returns who the person is and the page to return to. The error is an *[Error]. The
// caller begins the session, shows or redirects, and logs.
func (p *Provider) Callback(rw http.ResponseWriter, r *http.Request) (Identity, string, error) {
	rw.Header().Set("Cache-Control", "no-store")
	login, failed := p.returned(rw, r)
	if failed != nil {
		return Identity{}, "", p.count(failed)
	}
	who, failed := p.finish(r.Context(), r.FormValue("code"), login)
	if failed != nil {
		return Identity{}, "", p.count(failed)
	}
	p.metrics.logins.WithLabelValues(string(OK)).Inc()
	return who, login.Back, nil
}

// returned finds the login that an answer belongs to, once, and removes its cookie.
func (p *Provider) returned(rw http.ResponseWriter, r *http.Request) (pending, *Error) {
	none, query := pending{}, r.URL.Query()
	state := query.Get("state")
	name := p.nameOf(state)
	c, err := r.Cookie(name)
	if err != nil {
		return none, stale("This login was not begun in this browser, or took longer than five minutes. "+again,
			errors.New("the answer came without the login's cookie"))
	}
	now := p.now()
	login, err := p.sealer.open(c.Value, now)
	if err != nil {
		http.SetCookie(rw, p.cookie(name, ""))
		return none, stale("The login took longer than five minutes, or the command center was restarted. "+again, err)
	}
	if subtle.ConstantTimeCompare([]byte(state), []byte(login.State)) != 1 {
		// The cookie stays: the answer to the login that it belongs to may yet come.
		return none, stale("Another login was begun in this browser. "+again, errors.New("the answer's state is not the login's"))
	}
	http.SetCookie(rw, p.cookie(name, ""))
	if !p.spent.take(login, now) {
		return none, stale("The login was used before. "+again, errors.New("the answer came before"))
	}
	if iss := query.Get("iss"); iss != "" && iss != p.config.Issuer { // RFC 9207
		return none, badToken(fmt.Errorf("the answer is of issuer %.200q", iss))
	}
	if code := query.Get("error"); code != "" {
		return none, &Error{
			Declined, "The identity provider did not let you in. " + again + " If this goes on, ask whoever looks after it.",
			fmt.Errorf("the provider answered error %.64q: %.200q", code, query.Get("error_description")),
		}
	}
	if query.Get("code") == "" {
		return none, badToken(errors.New("the answer has no code"))
	}
	return login, nil
}

// finish exchanges the code and reads who it is for.
func (p *Provider) finish(ctx context.Context, code string, login pending) (Identity, *Error) {
	ctx, cancel := context.WithTimeout(ctx, 2*askWithin)
	defer cancel()
	d, err := p.discover(ctx)
	if err != nil {
		return Identity{}, away(err)
	}
	secret, err := p.readSecret()
	if err != nil {
		return Identity{}, badToken(err)
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, d.client.Value(oauth2.HTTPClient))
	tokens, err := p.flow(d, secret).Exchange(ctx, code, oauth2.VerifierOption(login.Verifier))
	if err != nil {
		return Identity{}, exchangeError(err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	token, failed := p.verify(ctx, d, raw, login.Nonce)
	if failed != nil {
		return Identity{}, failed
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(tokens.AccessToken); err != nil {
			return Identity{}, badToken(fmt.Errorf("the access token is not the ID token's: %w", err))
		}
	}
	return p.identify(ctx, d, token, tokens)
}

// verify checks an ID token's signature, issuer, audience, times and nonce.
func (p *Provider) verify(ctx context.Context, d *discovered, raw, nonce string) (*rp.IDToken, *Error) {
	if raw == "" {
		return nil, badToken(errors.New("the provider gave no ID token; is the scope openid allowed for the client?"))
	}
	keys := &notedKeys{KeySet: d.keys}
	now := p.now()
	token, err := rp.NewVerifier(p.config.Issuer, keys, &rp.Config{
		ClientID: p.config.ClientID, SupportedSigningAlgs: algorithms,
		Now: func() time.Time { return now.Add(-leeway) },
	}).Verify(ctx, raw)
	if keys.err != nil {
		return nil, sort("verify the ID token's signature", keys.err)
	}
	if err != nil {
		return nil, badToken(fmt.Errorf("verify the ID token: %w", err))
	}
	var more struct {
		AZP string   `json:"azp"`
		ACR string   `json:"acr"`
		AMR []string `json:"amr"`
	}
	if err := token.Claims(&more); err != nil {
		return nil, badToken(fmt.Errorf("read the ID token: %w", err))
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1:
		err = errors.New("the ID token is of another login: its nonce is not ours")
	case token.IssuedAt.After(now.Add(leeway)):
		err = fmt.Errorf("the ID token was issued in the future, at %v; check the clocks", token.IssuedAt.UTC())
	case more.AZP != "" && more.AZP != p.config.ClientID, more.AZP == "" && len(token.Audience) > 1:
		err = fmt.Errorf("the ID token is for client %.64q", more.AZP)
	case token.Subject == "" || len(token.Subject) > 255:
		err = errors.New("the ID token names no subject of 1 to 255 bytes")
	case !accepts(p.config.ACR, more.ACR):
		err = fmt.Errorf("the ID token's acr %.64q is none of %v", more.ACR, p.config.ACR)
		return nil, weak(err)
	case !accepts(p.config.AMR, more.AMR...):
		err = fmt.Errorf("of the ID token's amr %.200q none is of %v", more.AMR, p.config.AMR)
		return nil, weak(err)
	}
	if err != nil {
		return nil, badToken(err)
	}
	return token, nil
}

// weak is a login that was not strong enough for what the configuration demands.
func weak(cause error) *Error {
	return &Error{Declined, "The command center demands a stronger login than the one you used, such as a second factor. " + again, cause}
}

// accepts reports whether one of the values is wanted; where none is, all are.
func accepts(wanted []string, have ...string) bool {
	return len(wanted) == 0 || slices.ContainsFunc(have, func(s string) bool { return slices.Contains(wanted, s) })
}

// notedKeys keeps the error that the verifier would only quote, so that keys that cannot
// be fetched are told from a signature that is wrong. For one verification.
type notedKeys struct {
	rp.KeySet
	err error
}

// VerifySignature is the key set's.
func (k *notedKeys) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	k.err = err
	return payload, err
}
