package web

import (
	"net/http"

	"andon.internal/collector/account"
)

// Public is what a route needs that is for everybody.
const Public = public

// Route is an address and who may use it.
type Route struct {
	Pattern string
	Needs   account.Permission
}

// Routes returns everything that is served.
func (w *Web) Routes() (out []Route) {
	for _, r := range w.routes() {
		out = append(out, Route{r.pattern, r.needs})
	}
	return out
}

// CheckRoute is the check that every route passes at the start.
func CheckRoute(needs account.Permission) error {
	return checkRoutes([]route{{"GET /x", needs, func(http.ResponseWriter, *http.Request) {}}})
}
