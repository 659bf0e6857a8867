package web

import (
	"net"
	"net/http"
	"net/netip"

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

// Bounded is what the pages listen with.
func Bounded(l net.Listener, total, each int, many func(netip.Addr) bool, refused func()) net.Listener {
	return &bounded{Listener: l, total: total, each: each, many: many, refused: refused}
}

// Bounds are those of the pages' listener, and whether this machine stands for many people.
func (w *Web) Bounds() (total, each int, many bool) {
	b := w.listener.(*bounded)
	return b.total, b.each, b.many(netip.MustParseAddr("127.0.0.1"))
}
