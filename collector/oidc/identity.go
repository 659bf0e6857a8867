package oidc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode"

	rp "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Identity is a person who logged in. Issuer and Subject together name them for ever;
// name and address may change, and are only for people to read.
type Identity struct {
	Issuer, Subject string
	Name            string // at most 128 characters, none of control; never empty
	Email           string // likewise; may be empty
	Role            Role
}

// identify reads a person's claims, from the ID token and, where the role is not in it,
// from the provider's userinfo.
func (p *Provider) identify(ctx context.Context, d *discovered, token *rp.IDToken, tokens *oauth2.Token) (Identity, *Error) {
	claims := map[string]any{}
	if err := token.Claims(&claims); err != nil {
		return Identity{}, badToken(fmt.Errorf("read the ID token: %w", err))
	}
	if _, ok := lookup(claims, p.config.RoleClaim); !ok && d.provider.UserInfoEndpoint() != "" {
		more, err := p.userInfo(ctx, d, token, tokens)
		if err != nil {
			return Identity{}, sort("ask for userinfo", err)
		}
		maps.Copy(more, claims) // what is signed counts more
		claims = more
	}
	if v := claims["email_verified"]; v == false || v == "false" {
		delete(claims, "email") // anybody may have written it there
	}
	who := Identity{Issuer: token.Issuer, Subject: token.Subject, Email: plain(claims["email"])}
	for _, name := range []any{claims[p.config.NameClaim], claims["preferred_username"], claims["email"], token.Subject} {
		if who.Name = plain(name); who.Name != "" {
			break
		}
	}
	value, ok := lookup(claims, p.config.RoleClaim)
	role, has := highest(p.config.Roles, texts(value))
	if !has {
		return Identity{}, noRole(who, p.config.RoleClaim, ok, claims)
	}
	who.Role = role
	return who, nil
}

func (p *Provider) userInfo(ctx context.Context, d *discovered, token *rp.IDToken, tokens *oauth2.Token) (map[string]any, error) {
	info, err := d.provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return nil, err
	}
	if info.Subject != token.Subject {
		return nil, errors.New("it is of another subject than the ID token")
	}
	claims := map[string]any{}
	return claims, info.Claims(&claims)
}

// noRole says to the person and in the log what to do about a missing role.
func noRole(who Identity, claim string, there bool, claims map[string]any) *Error {
	cause := fmt.Errorf("subject %.64q has none of the configured roles in claim %s", who.Subject, claim)
	switch sources, _ := claims["_claim_names"].(map[string]any); {
	case sources[claim] != nil:
		cause = fmt.Errorf("%w: the provider left the claim out because the list is too long; let it send roles of the application, or fewer groups", cause)
	case !there:
		cause = fmt.Errorf("%w: neither ID token nor userinfo has the claim; let the provider send it to this client, and check scopes", cause)
	}
	return &Error{NoRole, fmt.Sprintf("You are known to the identity provider as %s, but have no role in the command center. "+
		"Ask whoever looks after its accounts for one, then log in again.", who.Name), cause}
}

// lookup finds a claim by its name or, where there is none of that name, by its path.
func lookup(claims map[string]any, name string) (any, bool) {
	if v, ok := claims[name]; ok {
		return v, true
	}
	head, rest, ok := strings.Cut(name, ".")
	inner, is := claims[head].(map[string]any)
	if !ok || !is {
		return nil, false
	}
	return lookup(inner, rest)
}

// texts returns a claim that is a text, or a list of texts.
func texts(claim any) []string {
	switch c := claim.(type) {
	case string:
		return []string{c}
	case []any:
		var out []string
		for _, v := range c {
			if s, ok := v.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

// maxName bounds the characters of a name or address.
const maxName = 128

// plain returns a claim as a short text without control characters, for people to read.
func plain(claim any) string {
	s, _ := claim.(string)
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.C, r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > maxName {
		s = string(runes[:maxName])
	}
	return strings.TrimSpace(s)
}
