package oidc

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"andon.internal/shared/config"
)

// Config is who the provider is, and what its claims mean here. The zero Config is no
// login by OpenID Connect.
type Config struct {
	// Issuer is the provider's URL as it names itself in its tokens, to the letter; what
	// /.well-known/openid-configuration below it says is used.
	Issuer string `yaml:"issuer"`
	// ClientID is the name under which the command center is registered there.
	ClientID string `yaml:"client_id"`
	// ClientSecret is what the command center shows the provider; without one the client
	// is public, and PKCE alone protects it. It is read at each login.
	ClientSecret config.Secret `yaml:"client_secret"`
	// RedirectURL is where the provider sends people back to: the command center's
	// address as people reach it, with the path of its callback.
	RedirectURL string `yaml:"redirect_url"`
	// CA is the authority of the provider's certificate, in PEM; those of the system. It
	// is read when the provider is first asked.
	CA config.Path `yaml:"ca"`
	// Scopes are asked for beside openid; [profile, email].
	Scopes []string `yaml:"scopes"`
	// RoleClaim holds what Roles looks for: a text or a list. It may lie deeper, with
	// dots: realm_access.roles. Where the ID token lacks it, the provider's userinfo is
	// asked; groups.
	RoleClaim string `yaml:"role_claim"`
	// Roles maps values of the claim to viewer, operator, engineer or admin. Of several
	// the highest counts; who has none is refused.
	Roles map[string]Role `yaml:"roles"`
	// NameClaim holds the name that is shown and written beside what a person did. It should
	// be one that nobody else has, and that people cannot change themselves; email, where the
	// provider does not say that it is unverified.
	NameClaim string `yaml:"name_claim"`
	// ACR are the authentication contexts of which the token must name one; any.
	ACR []string `yaml:"acr"`
	// AMR are the authentication methods of which the token must name one, such as mfa;
	// any.
	AMR []string `yaml:"amr"`
}

// DefaultConfig returns the documented defaults, without a provider.
func DefaultConfig() Config {
	return Config{Scopes: []string{"profile", "email"}, RoleClaim: "groups", NameClaim: "email"}
}

// On reports whether there is a provider.
func (c *Config) On() bool { return c.Issuer != "" }

// Check reports what no login can work with.
func (c *Config) Check() error {
	if !c.On() {
		if c.ClientID != "" || c.RedirectURL != "" || len(c.Roles) > 0 {
			return config.At("issuer", errors.New("is required with client_id, redirect_url and roles: the provider's URL, such as https://id.example.com/realms/plant"))
		}
		return nil
	}
	errs := []error{
		config.At("issuer", checkURL(c.Issuer)),
		config.At("redirect_url", c.checkRedirect()),
		c.checkRoles(),
	}
	if c.ClientID == "" {
		errs = append(errs, config.At("client_id", errors.New("is required: the name under which the provider knows the command center")))
	}
	if c.RoleClaim == "" {
		errs = append(errs, config.At("role_claim", errors.New("is required: the claim that roles looks into, such as groups")))
	}
	if c.NameClaim == "" {
		errs = append(errs, config.At("name_claim", errors.New("is required: the claim with a person's name, such as email")))
	}
	for key, list := range map[string][]string{"scopes": c.Scopes, "acr": c.ACR, "amr": c.AMR} {
		if slices.ContainsFunc(list, func(s string) bool { return s == "" || strings.ContainsAny(s, " \t\r\n\"\\") }) {
			errs = append(errs, config.At(key, errors.New("each must be one word; write a list: [one, two]")))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) checkRedirect() error {
	if c.RedirectURL == "" {
		return errors.New("is required: where the provider sends people back to, such as https://andon.example.com/login/sso/callback")
	}
	if err := checkURL(c.RedirectURL); err != nil {
		return err
	}
	if u, _ := url.Parse(c.RedirectURL); u.Path == "" || u.Path == "/" {
		return errors.New("must have the path of the callback, such as https://andon.example.com/login/sso/callback")
	}
	return nil
}

func (c *Config) checkRoles() error {
	if len(c.Roles) == 0 {
		return config.At("roles", errors.New("at least one is required, or nobody can log in, such as andon-operators: operator"))
	}
	var errs []error
	for value, role := range c.Roles {
		if role.rank() == 0 {
			errs = append(errs, config.At("roles", fmt.Errorf("%q has role %q, which is none of %v", value, role, Roles())))
		}
	}
	return errors.Join(errs...)
}

// checkURL accepts https, and http on the loopback alone: codes and secrets go there.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return errors.New("must be a URL, such as https://id.example.com/realms/plant")
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return errors.New("must be a URL without user, ? and #")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return errors.New("must begin with https://; http:// is for this machine's own addresses")
	}
	return errors.New("must begin with https://")
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
