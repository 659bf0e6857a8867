package web

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// The values of [Exposure.Login].
const (
	LoginRequired = "required"
	LoginNone     = "none"
)

// Exposure is from where the pages can be reached.
type Exposure struct {
	// Listen is the address of the pages.
	Listen string
	// Login is required, none, or empty: required unless only this machine reaches the
	// pages.
	Login string
	// Hosts are names under which the pages are reached, beside IP addresses and
	// localhost: other names are refused, so that a foreign page cannot read ours
	// through a name that it makes point here.
	Hosts []string
	// TLS says that the pages speak it themselves.
	TLS bool
	// BehindProxy are the addresses of proxies before the pages. What they say of a
	// request's address and scheme (X-Forwarded-For, X-Forwarded-Proto) is believed, and
	// of nobody else.
	BehindProxy []netip.Prefix
}

// Asks reports whether a login is required. The error is of what contradicts itself, or
// would send passwords in the clear; key names what to change: listen, login or hosts.
func (e *Exposure) Asks() (asks bool, key string, err error) {
	host, _, err := net.SplitHostPort(e.Listen)
	if err != nil {
		return false, "listen", fmt.Errorf("listen %q must be host:port, such as 127.0.0.1:8080", e.Listen)
	}
	beyond := host != "localhost" && !net.ParseIP(host).IsLoopback()
	reached := beyond || len(e.Hosts) > 0 || len(e.BehindProxy) > 0
	protected := e.TLS || len(e.BehindProxy) > 0
	switch {
	case e.Login != "" && e.Login != LoginRequired && e.Login != LoginNone:
		return false, "login", fmt.Errorf("login %q must be required or none, or be left out", e.Login)
	case beyond && !protected:
		return false, "listen", fmt.Errorf("listen %q is not a loopback address, and a login there would travel in the clear: "+
			"set tls, or behind_proxy when a proxy speaks TLS before the pages", e.Listen)
	case len(e.Hosts) > 0 && !protected:
		return false, "hosts", errors.New("a login at these names would travel in the clear: set tls, or behind_proxy when a proxy speaks TLS before the pages")
	case e.Login == LoginNone && reached:
		return false, "login", errors.New("login: none is for pages that only this machine reaches; these listen beyond loopback, have names or are behind a proxy")
	}
	return e.Login == LoginRequired || e.Login == "" && reached, "", nil
}
