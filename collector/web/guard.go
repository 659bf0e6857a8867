package web

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// contentPolicy allows what is ours and nothing inline.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

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
		h.Set("Cache-Control", "no-store") // assets say otherwise
		if !w.ourHost(r.Host) {
			w.noteRefused(r, "its host is none of ours")
			http.Error(rw, "This name is not one of the command center's. Add it to its hosts.", http.StatusMisdirectedRequest)
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
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	return host == "localhost" || net.ParseIP(host) != nil || slices.Contains(w.config.Hosts, host)
}
