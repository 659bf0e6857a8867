package web

import (
	"context"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"andon.internal/collector/account"
	"andon.internal/collector/login"
)

// Requests of one session or token, and of one address where nobody is known.
const (
	knownRate, knownBurst         = 50, 300
	anonymousRate, anonymousBurst = 10, 100
)

// visitor is who a request is from.
type visitor struct {
	name    string       // empty: nobody is known
	role    account.Role // of a session
	session *account.Session
	token   *account.Token
	formKey string // what the forms of the session must carry
	anybody bool   // nobody has to log in here
	ended   bool   // the request has a session that is over
}

type visitorKey struct{}

// visitorOf returns who a request is from.
func visitorOf(r *http.Request) *visitor {
	if v, ok := r.Context().Value(visitorKey{}).(*visitor); ok {
		return v
	}
	return &visitor{}
}

// known reports whether somebody is logged in.
func (v *visitor) known() bool { return v.session != nil || v.token != nil }

// may reports whether the visitor has a permission.
func (v *visitor) may(p account.Permission) bool {
	switch {
	case v.anybody || p == public:
		return true
	case v.session != nil:
		return v.role.May(p)
	case v.token != nil:
		return v.token.May(p)
	}
	return false
}

// visitor finds out who a request is from. A token counts in the header Authorization
// and nowhere else, and a request that has one is not of a session.
func (w *Web) visitor(r *http.Request) *visitor {
	if !w.asks {
		return &visitor{anybody: true}
	}
	if given := r.Header.Get("Authorization"); given != "" {
		kind, text, _ := strings.Cut(given, " ")
		if t, ok := w.sources.Desk.Token(strings.TrimSpace(text)); ok && strings.EqualFold(kind, "Bearer") {
			return &visitor{name: "token:" + t.Name, token: &t}
		}
		return &visitor{}
	}
	c, err := r.Cookie(w.cookieName(r))
	if err != nil {
		return &visitor{}
	}
	s, ok := w.sources.Desk.Session(c.Value)
	if !ok {
		return &visitor{ended: true}
	}
	return &visitor{name: s.User, role: s.Role, session: &s, formKey: account.FormKey(c.Value)}
}

// holds reports whether the visitor of a long request is still logged in. An open page is
// a use of its session.
func (w *Web) holds(v *visitor) bool {
	switch {
	case v.session != nil:
		_, ok := w.sources.Desk.Use(v.session.ID)
		return ok
	case v.token != nil:
		return w.sources.Desk.TokenHolds(*v.token)
	}
	return v.anybody
}

// admit lets through who may use a route.
func (w *Web) admit(to route) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		v := w.visitor(r)
		r = r.WithContext(context.WithValue(r.Context(), visitorKey{}, v))
		if after := w.limited(r, v, to); after > 0 {
			w.refusedRequests("rate")
			w.tooMany(rw, after)
			return
		}
		switch {
		case v.may(to.needs):
		case v.known():
			w.refusedRequests("permission")
			w.noteRefused(r, "it needs the permission "+string(to.needs))
			w.refuse(rw, http.StatusForbidden, "you may not do this; it needs the permission "+string(to.needs))
			return
		default:
			w.refusedRequests("login")
			w.askLogin(rw, r, v)
			return
		}
		if v.session != nil && r.Method == http.MethodPost && to.needs != public && !w.ownForm(rw, r, v) {
			return
		}
		to.handler(rw, r)
	}
}

// limited returns how long the sender of a request has to wait first.
func (w *Web) limited(r *http.Request, v *visitor, to route) time.Duration {
	now := w.config.Now()
	switch {
	case v.anybody || to.pattern == "GET /assets/": // served from memory
		return 0
	case v.session != nil:
		return w.knownLimit.Wait(string(v.session.ID[:]), now)
	case v.token != nil:
		return w.knownLimit.Wait(v.token.ID, now)
	}
	return w.anonymousLimit.Wait(login.Network(w.client(r)), now)
}

// tooMany refuses a request for a while.
func (w *Web) tooMany(rw http.ResponseWriter, after time.Duration) {
	retryAfter(rw, after)
	w.refuse(rw, http.StatusTooManyRequests, "too many requests; try again later")
}

func retryAfter(rw http.ResponseWriter, after time.Duration) {
	rw.Header().Set("Retry-After", strconv.Itoa(max(int(math.Ceil(after.Seconds())), 1)))
}

// askLogin answers a request of nobody known: a page leads to the login, others are told.
func (w *Web) askLogin(rw http.ResponseWriter, r *http.Request, v *visitor) {
	if r.Header.Get("Authorization") != "" || r.Method != http.MethodGet && !isForm(r) ||
		strings.HasPrefix(r.URL.Path, "/api/") && !isForm(r) || r.URL.Path == "/readyz" {
		rw.Header().Set("WWW-Authenticate", `Bearer realm="andon"`)
		w.refuse(rw, http.StatusUnauthorized, "log in first, or send an API token")
		return
	}
	if !v.ended && r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		// Behind a link of another site browsers leave the cookie out; behind one of ours
		// they send it.
		w.pages.onward(rw, r, r.URL.RequestURI())
		return
	}
	to := url.Values{}
	if r.Method == http.MethodGet && r.URL.Path != "/" {
		to.Set("back", r.URL.RequestURI())
	}
	if v.ended {
		to.Set("said", "ended")
	}
	address := "/login"
	if len(to) > 0 {
		address += "?" + to.Encode()
	}
	http.Redirect(rw, r, address, http.StatusSeeOther)
}

func isForm(r *http.Request) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return r.Method == http.MethodPost && kind == "application/x-www-form-urlencoded"
}

// maxForm bounds the bytes of a form.
const maxForm = 8 << 10

// ownForm reports whether what a session posts comes from a page of ours: JSON, which
// browsers send across origins only where we allow it, or a form with the session's key.
func (w *Web) ownForm(rw http.ResponseWriter, r *http.Request, v *visitor) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind == "application/json" {
		return true
	}
	if !isForm(r) {
		w.refusedRequests("form")
		w.refuse(rw, http.StatusUnsupportedMediaType, "send JSON or a form")
		return false
	}
	r.Body = http.MaxBytesReader(rw, r.Body, maxForm)
	if r.ParseForm() == nil && account.Same(r.PostForm.Get("key"), v.formKey) {
		return true
	}
	w.refusedRequests("form")
	w.noteRefused(r, "its form is of another session")
	w.refuse(rw, http.StatusForbidden, "this form is of another session; load the page again")
	return false
}

func (w *Web) refusedRequests(reason string) {
	w.config.Metrics.turnedAway.WithLabelValues(reason).Inc()
}
