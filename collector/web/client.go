package web

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// remote is the address at the other end of a request's connection.
func remote(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.IPv4Unspecified() // a test's
	}
	return ap.Addr().Unmap().WithZone("")
}

func (w *Web) isProxy(a netip.Addr) bool {
	return slices.ContainsFunc(w.config.BehindProxy, func(p netip.Prefix) bool { return p.Contains(a) })
}

// client is the address a request came from. Of what proxies say it believes the last
// that one of ours was told by somebody else.
func (w *Web) client(r *http.Request) netip.Addr {
	at := remote(r)
	if !w.isProxy(at) {
		return at
	}
	chain := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(chain) {
		a, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil {
			return at
		}
		if at = a.Unmap().WithZone(""); !w.isProxy(at) {
			return at
		}
	}
	return at
}

// secure reports whether a request travelled in TLS, to us or to a proxy of ours.
func (w *Web) secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	if !w.isProxy(remote(r)) {
		return false
	}
	last := r.Header.Values("X-Forwarded-Proto")
	return len(last) > 0 && strings.TrimSpace(last[len(last)-1]) == "https"
}

// private reports whether a login may be sent with a request: in TLS, or to a name that a
// browser only connects to on its own machine.
func (w *Web) private(r *http.Request) bool {
	host := hostOf(r.Host)
	return w.secure(r) || host == "localhost" || net.ParseIP(host).IsLoopback()
}

// hostOf is the name or address in a Host header, in lower case.
func hostOf(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}
