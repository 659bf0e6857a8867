package web

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// Results of an [Entry].
const (
	Done    = "ok"
	Refused = "refused" // not allowed, or not meaningful
	Failed  = "failed"  // allowed, and did not succeed
)

// Entry is something that somebody did at the pages, or tried to do.
type Entry struct {
	At     time.Time
	Who    string // a user, token:NAME, or what was typed where nobody had to log in
	Role   string // empty where nobody had to log in
	From   string // the address
	Action string // such as "acknowledge alarm"
	Object string // what it was done to, such as an alarm's id
	Detail map[string]any
	Result string // Done, Refused or Failed
}

// Audit keeps who did what. It must be safe for concurrent use and must not hold a
// request up.
type Audit interface {
	Note(ctx context.Context, e Entry)
}

// logAudit is the Audit where there is none: the log.
type logAudit struct{ log *slog.Logger }

// Note implements [Audit].
func (a logAudit) Note(ctx context.Context, e Entry) {
	a.log.InfoContext(ctx, "somebody acts at the pages", "who", clip(e.Who, 128), "role", e.Role, "from", e.From,
		"action", e.Action, "object", clip(e.Object, 256), "detail", e.Detail, "result", e.Result)
}

// note writes down what a request did.
func (w *Web) note(r *http.Request, action, object, result string, detail map[string]any) {
	v := visitorOf(r)
	w.noteAs(r, v.name, string(v.role), action, object, result, detail)
}

func (w *Web) noteAs(r *http.Request, who, role, action, object, result string, detail map[string]any) {
	w.audit.Note(r.Context(), Entry{
		At: w.config.Now().UTC(), Who: who, Role: role, From: w.client(r).String(),
		Action: action, Object: object, Detail: detail, Result: result,
	})
}

// noteRefused notes a request that was turned away before anybody looked at what it wants.
func (w *Web) noteRefused(r *http.Request, why string) {
	w.note(r, "request page", r.Method+" "+clip(r.URL.Path, 256), Refused,
		map[string]any{"why": why, "host": clip(r.Host, 256), "origin": clip(r.Header.Get("Origin"), 256)})
}
