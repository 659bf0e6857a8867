package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"andon.internal/collector/account"
	"andon.internal/collector/login"
)

// SingleSignOn sends people to an identity provider and takes who they are from there.
type SingleSignOn interface {
	// Start answers with the way to the provider; back is where the person wants to be.
	// With an error it has written nothing.
	Start(rw http.ResponseWriter, r *http.Request, back string) error
	// Callback takes what the provider says. It may set headers, and writes no answer.
	Callback(rw http.ResponseWriter, r *http.Request) (who Identity, back string, err error)
	// LogoutURL is where a browser ends its session at the provider; empty where it cannot.
	LogoutURL(ctx context.Context) string
}

// SignOnError is an error of a [SingleSignOn] that says what the person is shown. Others
// are for the log alone.
type SignOnError struct {
	Status int
	Text   string
	Err    error
}

// Error is for the log.
func (e *SignOnError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *SignOnError) Unwrap() error { return e.Err }

// Where a provider sends people back to, after a login and after a logout.
const (
	CallbackPath   = "/login/sso/callback"
	LoggedOutPath  = "/login"
	LoggedOutQuery = "said=out"
)

// Identity is a person whom an identity provider vouches for.
type Identity struct {
	Issuer  string // the provider
	Subject string // the provider's own name for them
	Name    string
	Email   string
	Role    account.Role
}

// user is the name that the person has here. It is never that of a user who is kept here,
// nor of a token: in the audit log nobody must pass for another.
func (i *Identity) user() string {
	for _, name := range []string{i.Name, i.Email, i.Subject} {
		name = clip(strings.TrimSpace(name), 54)
		switch {
		case name == "":
		case account.CheckName(name) == nil, strings.HasPrefix(name, "token:"):
			return name + " (sso)"
		default:
			return name
		}
	}
	return ""
}

// The cookie's names: with the first, browsers hold us to TLS, this host and its root.
const (
	secureCookie = "__Host-andon"
	plainCookie  = "andon"
)

func (w *Web) cookieName(r *http.Request) string {
	if w.secure(r) {
		return secureCookie
	}
	return plainCookie
}

// setCookie gives the browser a session's secret, or takes it away when it is empty.
func (w *Web) setCookie(rw http.ResponseWriter, r *http.Request, secret string) {
	age := int(w.config.Limits.Absolute.Seconds())
	if secret == "" {
		age = -1
	}
	http.SetCookie(rw, &http.Cookie{
		Name: w.cookieName(r), Value: secret, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: w.secure(r), SameSite: http.SameSiteStrictMode,
	})
}

// loginPage is what the page of the login shows.
type loginPage struct {
	Title, Theme, Site string
	Back, Name         string
	Said, Fault        string
	SignOn, Out        bool // there is a provider; somebody has logged out
}

// said is what the page says of how somebody came there.
var said = map[string]string{
	"ended": "Your session has ended. Log in again.",
	"out":   "You are logged out.",
}

func (w *Web) loginPage(r *http.Request) loginPage {
	return loginPage{
		Title: "Log in", Theme: themeOf(r), Site: w.config.Site, SignOn: w.sources.SignOn != nil,
		Back: backTo(r.URL.Query().Get("back")), Said: said[r.URL.Query().Get("said")],
		Out: w.sources.SignOn != nil && r.URL.RawQuery == LoggedOutQuery,
	}
}

func (w *Web) getLogin(rw http.ResponseWriter, r *http.Request) {
	p := w.loginPage(r)
	if visitorOf(r).session != nil {
		http.Redirect(rw, r, p.Back, http.StatusSeeOther)
		return
	}
	w.pages.render(rw, http.StatusOK, "login", p)
}

// postLogin takes a name and a password. Its answer does not tell whether somebody is
// known, nor does the time that it takes.
func (w *Web) postLogin(rw http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(rw, r.Body, maxForm)
	p := w.loginPage(r)
	if !isForm(r) || r.ParseForm() != nil {
		p.Fault = "The form could not be read."
		w.pages.render(rw, http.StatusBadRequest, "login", p)
		return
	}
	name := strings.ToLower(strings.TrimSpace(r.PostForm.Get("name")))
	p.Back, p.Name, p.Said = backTo(r.PostForm.Get("back")), clip(name, 64), ""
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	secret, s, err := w.sources.Desk.LogIn(ctx, name, r.PostForm.Get("password"), w.client(r))
	if err != nil {
		status := w.loginFault(rw, &p, err)
		result := Failed
		if errors.Is(err, login.ErrWrong) {
			result = Refused
		}
		w.noteAs(r, clip(name, 64), "", "log in", "", result, map[string]any{"why": err.Error()})
		w.pages.render(rw, status, "login", p)
		return
	}
	w.begin(rw, r, secret, s, nil)
	http.Redirect(rw, r, p.Back, http.StatusSeeOther)
}

// begin gives the browser a new session, in place of the one it had.
func (w *Web) begin(rw http.ResponseWriter, r *http.Request, secret string, s account.Session, detail map[string]any) {
	if old := visitorOf(r).session; old != nil {
		w.sources.Desk.LogOut(old.ID)
	}
	w.setCookie(rw, r, secret)
	w.noteAs(r, s.User, string(s.Role), "log in", "", Done, detail)
}

// loginFault says on the page why somebody is not let in, and returns the status.
func (w *Web) loginFault(rw http.ResponseWriter, p *loginPage, err error) int {
	var limited *login.LimitError
	switch {
	case errors.As(err, &limited):
		retryAfter(rw, limited.After)
		p.Fault = "Too many attempts. Try again in " + ageText(max(limited.After, time.Second)) + "."
		return http.StatusTooManyRequests
	case errors.Is(err, login.ErrWrong):
		p.Fault = "The name or the password is wrong."
		return http.StatusUnauthorized
	case errors.Is(err, login.ErrNotKnown):
		p.Fault = "Nobody can log in yet: the database has not answered since this collector began."
	case errors.Is(err, login.ErrFull):
		p.Fault = "Too many people are logged in."
	default:
		p.Fault = "The login took too long. Try again."
	}
	return http.StatusServiceUnavailable
}

func (w *Web) postLogout(rw http.ResponseWriter, r *http.Request) {
	v := visitorOf(r)
	if v.session == nil {
		w.refuse(rw, http.StatusBadRequest, "a token is not logged out; revoke it")
		return
	}
	w.sources.Desk.LogOut(v.session.ID)
	w.setCookie(rw, r, "")
	w.note(r, "log out", "", Done, nil)
	http.Redirect(rw, r, LoggedOutPath+"?"+LoggedOutQuery, http.StatusSeeOther)
}

func (w *Web) getSignOn(rw http.ResponseWriter, r *http.Request) {
	if err := w.sources.SignOn.Start(rw, r, backTo(r.URL.Query().Get("back"))); err != nil {
		w.signOnFailed(rw, r, err)
	}
}

// getSignOut leads on to the provider, who ends its own session.
func (w *Web) getSignOut(rw http.ResponseWriter, r *http.Request) {
	to := w.sources.SignOn.LogoutURL(r.Context())
	if to == "" {
		p := w.loginPage(r)
		p.Fault = "The identity provider offers no logout, or is away: close the browser to end the session there."
		w.pages.render(rw, http.StatusServiceUnavailable, "login", p)
		return
	}
	http.Redirect(rw, r, to, http.StatusSeeOther)
}

// Failed single sign-ons that are in the log, a second and at once: anybody can send what
// looks like one. Others are there at debug, and all are counted in the provider's metrics.
const signOnLogRate, signOnLogBurst = 0.2, 20

// signOnFailed logs an error and shows what the person can do.
func (w *Web) signOnFailed(rw http.ResponseWriter, r *http.Request, err error) {
	level := slog.LevelWarn
	if w.signOnLog.Wait("", w.config.Now()) > 0 {
		level = slog.LevelDebug
	}
	w.log.Log(r.Context(), level, "a single sign-on failed", "error", err)
	p, status := w.loginPage(r), http.StatusForbidden
	p.Fault = "The single sign-on failed; the log of the collector says why."
	var shown *SignOnError
	if errors.As(err, &shown) {
		p.Fault, status = shown.Text, shown.Status
	}
	w.pages.render(rw, status, "login", p)
}

// getSignedOn opens a session for whom the identity provider vouches for. The browser
// still counts this as the provider's doing and would not send the new cookie behind a
// redirection, so a page leads on.
func (w *Web) getSignedOn(rw http.ResponseWriter, r *http.Request) {
	who, back, err := w.sources.SignOn.Callback(rw, r)
	var secret string
	var s account.Session
	if err == nil {
		if _, err = account.ParseRole(string(who.Role)); err == nil && who.user() == "" {
			err = errors.New("the identity has no name")
		}
	}
	detail := map[string]any{"issuer": clip(who.Issuer, 256), "subject": clip(who.Subject, 128)}
	if err == nil {
		secret, s, err = w.sources.Desk.Admit(who.user(), who.Role, w.client(r))
	}
	if err != nil {
		w.noteAs(r, who.user(), "", "log in", "", Failed, detail)
		w.signOnFailed(rw, r, err)
		return
	}
	w.begin(rw, r, secret, s, detail)
	w.pages.onward(rw, r, backTo(back))
}

// getAccounts tells who may log in, and who is.
func (w *Web) getAccounts(rw http.ResponseWriter, _ *http.Request) {
	type user struct {
		Name     string       `json:"name"`
		Role     account.Role `json:"role"`
		Disabled bool         `json:"disabled"`
		Changed  time.Time    `json:"changed"`
	}
	type session struct {
		User    string       `json:"user"`
		Role    account.Role `json:"role"`
		From    string       `json:"from"`
		Created time.Time    `json:"created"`
		Seen    time.Time    `json:"seen"`
	}
	type token struct {
		Name    string          `json:"name"`
		Scopes  []account.Scope `json:"scopes"`
		Expires time.Time       `json:"expires"`
	}
	body := struct {
		Stamp
		Users    []user    `json:"users"`
		Sessions []session `json:"sessions"`
		Tokens   []token   `json:"tokens"`
	}{w.hub.lastStamp(), []user{}, []session{}, []token{}}
	all := w.sources.Desk.Overview()
	for _, u := range all.Users {
		body.Users = append(body.Users, user{u.Name, u.Role, u.Disabled, u.Changed})
	}
	for _, s := range all.Sessions {
		body.Sessions = append(body.Sessions, session{s.User, s.Role, s.From, s.Created, s.Seen})
	}
	for _, t := range all.Tokens {
		body.Tokens = append(body.Tokens, token{t.Name, t.Scopes, t.Expires})
	}
	w.answer(rw, http.StatusOK, body)
}
