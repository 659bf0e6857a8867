package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"andon.internal/shared/telemetry"
)

// detail is the newest reading of the unit that a stream was asked to follow, with
// all its signals.
type detail struct {
	Key     uint32   `json:"k"`
	Time    int64    `json:"t"`
	Plotted int64    `json:"at"`
	Values  []number `json:"v"`
}

// getEvents serves the event stream: a snapshot, then what changed. With
// ?unit=GROUP/UNIT also all signals of that unit.
//
//	snapshot   the fleet, as GET /api/v1/fleet
//	change     what changed, once a second; at once for alarms, broker and database
//	unit       the newest reading of the unit that was asked for
//	heartbeat  the stamp, every 2 s
//	ended      the session is over, and so is the stream
func (w *Web) getEvents(rw http.ResponseWriter, r *http.Request) {
	group, unit, follows := strings.Cut(r.URL.Query().Get("unit"), "/")
	if follows && (telemetry.CheckID("group", group) != nil || telemetry.CheckID("unit", unit) != nil) {
		w.refuse(rw, http.StatusBadRequest, "unit must be GROUP/UNIT")
		return
	}
	c, ok := w.hub.join()
	if !ok {
		w.config.Metrics.refused.Inc()
		rw.Header().Set("Retry-After", "5")
		w.refuse(rw, http.StatusServiceUnavailable, "too many event streams; close other tabs or try again")
		return
	}
	defer w.hub.leave(c)
	rw.Header().Set("Content-Type", "text/event-stream")
	rw.Header().Set("X-Accel-Buffering", "no") // proxies must not collect it
	s := &stream{web: w, rw: rw, control: http.NewResponseController(rw), group: group, unit: unit, follows: follows}
	v := visitorOf(r)
	if err := s.begin(); err != nil {
		return
	}
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	for {
		var next func() error
		select {
		case <-c.wake:
			next = s.change
		case <-beat.C:
			next = func() error { return s.send(event("heartbeat", w.hub.lastStamp())) }
		case <-c.ended:
			return
		case <-r.Context().Done():
			return
		}
		if !w.holds(v) {
			_ = s.send(event("ended", struct{}{})) // the stream ends in any case
			return
		}
		if err := next(); err != nil {
			if r.Context().Err() == nil {
				w.config.Metrics.dropped.Inc()
			}
			return
		}
	}
}

// stream is the writing side of one event stream.
type stream struct {
	web     *Web
	rw      http.ResponseWriter
	control *http.ResponseController
	version uint64 // of the picture that the client has

	group, unit string
	follows     bool
	shown       int64 // plotted time of the unit's reading that the client has
}

func (s *stream) begin() error {
	all := s.web.snapshot()
	s.version = all.Version
	if err := s.send(append([]byte("retry: 1000\n\n"), event("snapshot", all)...)); err != nil {
		return err
	}
	return s.sendUnit()
}

func (s *stream) change() error {
	data, to := s.web.hub.since(s.version)
	s.version = to
	s.web.config.Metrics.frames.Inc()
	if err := s.send(data); err != nil {
		return err
	}
	return s.sendUnit()
}

func (s *stream) sendUnit() error {
	if !s.follows {
		return nil
	}
	u, ok := s.web.sources.Plant.Unit(s.web.config.Now(), s.group, s.unit)
	if !ok || millis(u.Plotted) == s.shown {
		return nil
	}
	s.shown = millis(u.Plotted)
	return s.send(event("unit", detail{u.Key, millis(u.Time), s.shown, numbers(&u, allSignals(len(u.Values)))}))
}

func allSignals(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// send writes and flushes; a client that takes nothing for long is given up.
func (s *stream) send(data []byte) error {
	// A recorder in a test has no deadlines.
	_ = s.control.SetWriteDeadline(time.Now().Add(takeWithin))
	if _, err := s.rw.Write(data); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	if err := s.control.Flush(); err != nil {
		return fmt.Errorf("flush event: %w", err)
	}
	return nil
}

// answer writes JSON.
func (w *Web) answer(rw http.ResponseWriter, status int, body any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	if err := json.NewEncoder(rw).Encode(body); err != nil {
		w.log.Debug("an answer was cut off", "error", err)
	}
}

// refusal is the body of an answer that is an error.
type refusal struct {
	Stamp
	Error string `json:"error"`
}

// refuse writes why a request is not served.
func (w *Web) refuse(rw http.ResponseWriter, status int, why string) {
	w.answer(rw, status, refusal{w.hub.lastStamp(), why})
}
