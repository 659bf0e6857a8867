package collector

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"
	_ "time/tzdata" // for images that have no time zones
	"unicode/utf8"

	"andon.internal/collector/account"
	"andon.internal/collector/oidc"
	"andon.internal/collector/web"
	"andon.internal/shared/config"
	"andon.internal/shared/mtls"
)

// WebConfig is the part `web:` of a configuration: the command center.
type WebConfig struct {
	// Listen is the address of the pages; 127.0.0.1:8080. Beyond loopback tls or
	// behind_proxy is needed.
	Listen string `yaml:"listen"`
	// Login is required, or none; by default it is required unless only this machine
	// reaches the pages: they listen on loopback and have neither hosts nor behind_proxy.
	Login string `yaml:"login"`
	// TLS is the pages' certificate, for browsers; none.
	TLS mtls.ServerConfig `yaml:"tls"`
	// BehindProxy are the addresses (or networks) of proxies before the pages. What they
	// say in X-Forwarded-For and X-Forwarded-Proto is believed.
	BehindProxy []Network `yaml:"behind_proxy"`
	// Session is how long a login lasts.
	Session SessionConfig `yaml:"session"`
	// OIDC is an identity provider through which people log in; none.
	OIDC oidc.Config `yaml:"oidc"`
	// Hosts are the names by which the pages are reached, beside localhost and IP
	// addresses.
	Hosts []string `yaml:"hosts"`
	// Site is the plant's name in the header; none.
	Site string `yaml:"site"`
	// TimeZone is the plant's, by its name in the IANA database; that of the process.
	TimeZone string `yaml:"time_zone"`
	// MaxClients bounds the open pages; 64.
	MaxClients int `yaml:"max_clients"`
}

// Check reports what the pages cannot be served with.
func (c *WebConfig) Check() error {
	var errs []error
	e := c.exposure()
	if _, key, err := e.Asks(); err != nil {
		errs = append(errs, config.At(key, err))
	}
	if u, err := url.Parse(c.OIDC.RedirectURL); c.OIDC.On() && err == nil && u.Path != web.CallbackPath {
		errs = append(errs, config.At("oidc.redirect_url", fmt.Errorf("its path must be %s, such as https://andon.plant.example%[1]s", web.CallbackPath)))
	}
	if asks, _, err := e.Asks(); c.OIDC.On() && err == nil && !asks {
		errs = append(errs, config.At("oidc", errors.New("nobody logs in here: add login: required")))
	}
	if _, err := c.location(); err != nil {
		errs = append(errs, config.At("time_zone", err))
	}
	if c.MaxClients < 1 || c.MaxClients > 10_000 {
		errs = append(errs, config.At("max_clients", errors.New("must be from 1 to 10000")))
	}
	if utf8.RuneCountInString(c.Site) > 64 {
		errs = append(errs, config.At("site", errors.New("must be at most 64 characters")))
	}
	return errors.Join(errs...)
}

// location returns the plant's time zone.
func (c *WebConfig) location() (*time.Location, error) {
	if c.TimeZone == "" {
		return time.Local, nil
	}
	l, err := time.LoadLocation(c.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("%q is no time zone, such as America/Chicago", c.TimeZone)
	}
	return l, nil
}

// exposure is from where the pages are reached.
func (c *WebConfig) exposure() web.Exposure {
	e := web.Exposure{Listen: c.Listen, Login: c.Login, Hosts: c.Hosts, TLS: c.TLS.On()}
	for _, n := range c.BehindProxy {
		e.BehindProxy = append(e.BehindProxy, netip.Prefix(n))
	}
	return e
}

// Network is an address, or a network such as 10.1.0.0/16.
type Network netip.Prefix

// UnmarshalText implements [encoding.TextUnmarshaler].
func (n *Network) UnmarshalText(text []byte) error {
	if a, err := netip.ParseAddr(string(text)); err == nil {
		*n = Network(netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
		return nil
	}
	p, err := netip.ParsePrefix(string(text))
	if err != nil || p != p.Masked() {
		return fmt.Errorf("must be an address or a network, such as 10.1.2.3 or 10.1.0.0/16")
	}
	*n = Network(p)
	return nil
}

// SessionConfig is the part `session:` of [WebConfig].
type SessionConfig struct {
	// Idle ends a session that nobody used for so long; 12h.
	Idle time.Duration `yaml:"idle"`
	// Absolute ends every session; 168h.
	Absolute time.Duration `yaml:"absolute"`
}

// Check reports limits that contradict each other.
func (c *SessionConfig) Check() error {
	var errs []error
	if c.Idle < time.Minute {
		errs = append(errs, config.At("idle", errors.New("must be at least 1m")))
	}
	if c.Absolute < c.Idle || c.Absolute > 366*24*time.Hour {
		errs = append(errs, config.At("absolute", errors.New("must be at least session.idle, and at most a year")))
	}
	return errors.Join(errs...)
}

func (c *SessionConfig) limits() account.Limits {
	return account.Limits{Idle: c.Idle, Absolute: c.Absolute}
}
