package web

import (
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// contentPolicy allows what is ours and nothing inline.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// permissionsPolicy turns off what the pages do not use.
const permissionsPolicy = "camera=(), microphone=(), geolocation=(), display-capture=(), payment=(), usb=(), serial=(), bluetooth=(), midi=()"

// answerWithin bounds the writing of an ordinary answer; event streams have their own.
const answerWithin = 20 * time.Second

// guard refuses foreign names and foreign origins, and sets the headers of every
// answer.
func (w *Web) guard(next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.noteRefused(r, "it comes from a page of somebody else's")
		http.Error(rw, "This request comes from a page of somebody else's.", http.StatusForbidden)
	}))
	next = origins.Handler(next)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", permissionsPolicy)
		h.Set("Cache-Control", "no-store") // assets say otherwise
		if w.secure(r) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if !w.ourHost(r.Host) {
			w.noteRefused(r, "its host is none of ours")
			http.Error(rw, "This name is not one of the command center's. Add it to its hosts.", http.StatusMisdirectedRequest)
			return
		}
		if w.asks && !w.private(r) {
			w.refusedRequests("plain")
			http.Error(rw, "There is a login here, and it would travel in the clear. Use https://", http.StatusForbidden)
			return
		}
		// A recorder in a test has no deadlines.
		_ = http.NewResponseController(rw).SetWriteDeadline(time.Now().Add(answerWithin))
		next.ServeHTTP(rw, r)
	})
}

// ourHost reports whether a request was meant for us: a page of somebody else's can
// make a name of its own point to our address, but cannot make it be ours.
func (w *Web) ourHost(hostport string) bool {
	host := hostOf(hostport)
	return host == "localhost" || isAddress(host) || slices.Contains(w.config.Hosts, host)
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
