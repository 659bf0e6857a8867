package web

import (
	"fmt"
	"net/http"
	"slices"

	"andon.internal/collector/account"
)

// public is what everybody may have who reaches the pages.
const public account.Permission = "public"

// route is an address and who may use it.
type route struct {
	pattern string // of http.ServeMux
	needs   account.Permission
	handler http.HandlerFunc
}

// routes is everything that is served. Where nobody logs in all of it is for everybody,
// but for what is about logging in.
func (w *Web) routes() []route {
	list := []route{
		{"GET /{$}", account.View, w.pages.fleet},
		{"GET /unit/{group}/{unit}", account.View, w.pages.unit},
		{"GET /assets/", public, w.assets.ServeHTTP},
		{"GET /api/v1/fleet", account.View, w.getFleet},
		{"GET /api/v1/cells", account.View, w.getCells},
		{"GET /api/v1/losses", account.View, w.getLosses},
		{"GET /api/v1/alarms", account.View, w.getAlarms},
		{"GET /api/v1/units/{group}/{unit}", account.View, w.getUnit},
		{"GET /api/v1/units/{group}/{unit}/series", account.View, w.getSeries},
		{"POST /api/v1/alarms/{id}/ack", account.Acknowledge, w.postAck},
		{"POST /api/v1/report", account.View, w.postReport},
		{"GET /api/v1/events", account.View, w.getEvents},
		{"GET /", account.View, w.pages.notFound},
	}
	if w.sources.Ready != nil {
		list = append(list, route{"GET /readyz", account.Health, w.sources.Ready.ServeHTTP})
	}
	if !w.asks {
		return list
	}
	list = append(
		list,
		route{"GET /login", public, w.getLogin},
		route{"POST /login", public, w.postLogin},
		route{"POST /logout", account.View, w.postLogout},
		route{"GET /api/v1/accounts", account.Administer, w.getAccounts},
	)
	if w.sources.SignOn != nil {
		list = append(
			list,
			route{"GET /login/sso", public, w.getSignOn},
			route{"GET " + CallbackPath, public, w.getSignedOn},
			route{"GET /login/sso/out", public, w.getSignOut},
		)
	}
	return list
}

// checkRoutes reports a route of which nobody said who may use it.
func checkRoutes(list []route) error {
	known := append(account.Permissions(), public)
	for _, r := range list {
		if !slices.Contains(known, r.needs) || r.handler == nil {
			return fmt.Errorf("route %s needs %q, which is no permission, or has no handler", r.pattern, r.needs)
		}
	}
	return nil
}

// Handler returns everything that is served.
func (w *Web) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range w.routes() {
		mux.HandleFunc(r.pattern, w.admit(r))
	}
	return w.guard(mux)
}
