package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"
)

// lossesBack is how far back losses are shown.
const lossesBack = 24 * time.Hour

// lossMeaning says what a reason comes to, for the page.
var lossMeaning = map[string]string{
	"overflow": "the buffer was full",
	"crash":    "a crash or power cut came before they were on disk",
	"damaged":  "the stored record no longer reads back",
	"oversize": "one record is larger than what is sent",
	"database": "the database was put back to an earlier state",
}

// lossView is how many records of a cell were lost for one reason.
type lossView struct {
	Group   string `json:"group"`
	Node    string `json:"node"`
	Reason  string `json:"reason"`
	Meaning string `json:"meaning,omitempty"` // empty where this version does not know the reason
	Records int64  `json:"records"`
}

// getLosses answers what was lost, and why: from the database, which decides what was.
func (w *Web) getLosses(rw http.ResponseWriter, r *http.Request) {
	list, err := w.losses(r.Context())
	if err != nil {
		w.refuse(rw, http.StatusServiceUnavailable, "the database does not answer: what was lost is not known")
		return
	}
	pic := w.sources.Plant.Snapshot(w.config.Now())
	w.answer(rw, http.StatusOK, struct {
		Stamp
		Hours  float64    `json:"hours"`
		Losses []lossView `json:"losses"`
	}{w.links.stamp(&pic), lossesBack.Hours(), lossViews(list)})
}

func (w *Web) losses(ctx context.Context) ([]Loss, error) {
	if err := w.links.databaseAway(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, w.config.Timeout)
	defer cancel()
	list, err := w.sources.History.Losses(ctx, lossesBack)
	if err != nil {
		return nil, w.failed(ctx, "losses", err)
	}
	return list, nil
}

// lossViews puts the cells that lost the most first.
func lossViews(list []Loss) []lossView {
	out := make([]lossView, 0, len(list))
	for _, l := range list {
		out = append(out, lossView{Group: l.Group, Node: l.Node, Reason: l.Reason, Meaning: lossMeaning[l.Reason], Records: l.Count})
	}
	slices.SortStableFunc(out, func(a, b lossView) int { return cmp.Compare(b.Records, a.Records) })
	return out
}
