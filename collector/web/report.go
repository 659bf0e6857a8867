package web

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Bounds of what a page may report.
const (
	maxReport     = 4 << 10 // bytes
	reportsMinute = 20      // logged, of all pages together
)

// reports logs a bounded number of faults that pages report.
type reports struct {
	log     *slog.Logger
	metrics *Metrics
	now     func() time.Time

	mu     sync.Mutex
	minute time.Time
	taken  int
}

func newReports(c Config) *reports { return &reports{log: c.Logger, metrics: c.Metrics, now: c.Now} }

func (r *reports) admit() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); now.Sub(r.minute) >= time.Minute {
		r.minute, r.taken = now, 0
	}
	r.taken++
	return r.taken <= reportsMinute
}

// postReport takes note of a panel that failed in a browser.
func (w *Web) postReport(rw http.ResponseWriter, r *http.Request) {
	if !w.reports.admit() {
		w.reports.metrics.reports.WithLabelValues("dropped").Inc()
		rw.WriteHeader(http.StatusTooManyRequests)
		return
	}
	var body struct {
		Panel   string `json:"panel"`
		Message string `json:"message"`
		Page    string `json:"page"`
	}
	err := json.NewDecoder(io.LimitReader(r.Body, maxReport)).Decode(&body)
	if err != nil || body.Message == "" {
		w.reports.metrics.reports.WithLabelValues("dropped").Inc()
		w.refuse(rw, http.StatusBadRequest, "a report is JSON with panel, message and page")
		return
	}
	w.reports.metrics.reports.WithLabelValues("logged").Inc()
	w.reports.log.Warn("a page reports a fault", "panel", clip(body.Panel, 40), "message", clip(body.Message, 1000), "page", clip(body.Page, 200))
	rw.WriteHeader(http.StatusNoContent)
}

// clip bounds a text from outside, and makes it one line.
func clip(s string, most int) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}
