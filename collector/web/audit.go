package web

import (
	"net"
	"net/http"
)

// Audit keeps the record of who did what. Note must not block and must be safe for
// concurrent use.
type Audit interface {
	Note(d Deed)
}

// Deed is what somebody did, or tried to do.
type Deed struct {
	Who     string // as they were typed or logged in; may be empty
	Role    string // what they may do; empty where nobody had to log in
	From    string // the address the request came from
	Action  string // a constant, such as "acknowledge alarm"
	Object  string // what it was done to
	Outcome Outcome
	Detail  map[string]any
}

// Outcome is how a [Deed] ended.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "ok"
	Refused Outcome = "refused" // not allowed, or not meaningful
	Failed  Outcome = "failed"  // allowed, and did not succeed
)

// note notes what a request did.
func (w *Web) note(r *http.Request, d Deed) {
	if w.sources.Audit == nil {
		return
	}
	d.From = r.RemoteAddr
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		d.From = host
	}
	w.sources.Audit.Note(d)
}

// noteRefused notes a request that was turned away before anybody looked at it.
func (w *Web) noteRefused(r *http.Request, why string) {
	w.note(r, Deed{
		Action: "request page", Object: r.Method + " " + r.URL.Path, Outcome: Refused,
		Detail: map[string]any{"why": why, "host": r.Host, "origin": r.Header.Get("Origin")},
	})
}
