package web

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"andon.internal/shared/alarm"
)

// maxAckBody bounds the bytes of an acknowledgement.
const maxAckBody = 4 << 10

// postAck takes an acknowledgement, as JSON {"by", "note"} or as a form; who is logged in
// need not say who they are. A form is answered with the page it came from. It is on its way when the answer is 202;
// whether it was applied is told by the alarm's new state.
func (w *Web) postAck(rw http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(rw, r.Body, maxAckBody)
	var in struct{ By, Note, Back string }
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	form := kind == "application/x-www-form-urlencoded"
	switch {
	case form:
		if err := r.ParseForm(); err != nil {
			w.ackRefused(rw, r, in.By, in.Note, http.StatusBadRequest, "the form could not be read")
			return
		}
		in.By, in.Note, in.Back = r.PostForm.Get("by"), r.PostForm.Get("note"), r.PostForm.Get("back")
	case kind != "application/json":
		w.ackRefused(rw, r, in.By, in.Note, http.StatusUnsupportedMediaType, "send JSON or a form")
		return
	default:
		body, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(body, &in) != nil {
			w.ackRefused(rw, r, in.By, in.Note, http.StatusBadRequest, "an acknowledgement is JSON with by and note")
			return
		}
	}
	by := strings.TrimSpace(in.By)
	if v := visitorOf(r); v.known() {
		if by != "" && by != v.name {
			w.ackRefused(rw, r, by, in.Note, http.StatusBadRequest, "you are logged in as "+v.name+": leave by out")
			return
		}
		by = v.name
	}
	if status, why := w.acknowledge(r, by, in.Note); status != http.StatusAccepted {
		w.ackRefused(rw, r, by, in.Note, status, why)
		return
	}
	w.config.Metrics.acks.WithLabelValues("sent").Inc()
	w.noteAck(r, by, in.Note, Done, "")
	if form {
		http.Redirect(rw, r, backTo(in.Back), http.StatusSeeOther)
		return
	}
	w.answer(rw, http.StatusAccepted, struct {
		Stamp
		Durable bool `json:"durable"` // the journal can be written now
	}{w.hub.lastStamp(), w.links.databaseAway() == nil})
}

// acknowledge checks and sends; the status is 202 when it did.
func (w *Web) acknowledge(r *http.Request, by, note string) (status int, why string) {
	note = strings.TrimSpace(note)
	if by == "" || utf8.RuneCountInString(by) > alarm.MaxBy || utf8.RuneCountInString(note) > alarm.MaxNote {
		return http.StatusBadRequest, "say who you are (at most 64 characters); a note may have 500"
	}
	a, ok := w.sources.Plant.AlarmByID(r.PathValue("id"))
	if !ok {
		return http.StatusNotFound, "this alarm is not known; it may have closed"
	}
	switch a.State() {
	case alarm.Acknowledged, alarm.Closed:
		return http.StatusConflict, "this alarm is acknowledged already, by " + a.AckedBy
	}
	err := w.sources.Acks.Acknowledge(r.Context(), alarm.Acknowledgement{
		ID: a.ID, By: clip(by, alarm.MaxBy), Note: clip(note, alarm.MaxNote), At: w.config.Now().UTC(),
	})
	if err != nil {
		w.config.Metrics.acks.WithLabelValues("failed").Inc()
		w.log.Warn("an acknowledgement could not be sent", "alarm", a.ID, "error", err)
		return http.StatusServiceUnavailable, "the acknowledgement could not be sent: " + brokerAway
	}
	return http.StatusAccepted, ""
}

func (w *Web) ackRefused(rw http.ResponseWriter, r *http.Request, by, note string, status int, why string) {
	w.config.Metrics.acks.WithLabelValues("refused").Inc()
	result := Refused
	if status >= http.StatusInternalServerError {
		result = Failed
	}
	w.noteAck(r, by, note, result, why)
	w.refuse(rw, status, why)
}

// noteAck notes an acknowledgement, or an attempt at one, by whoever is logged in, or is
// said to be.
func (w *Web) noteAck(r *http.Request, by, note, result, why string) {
	v := visitorOf(r)
	if v.known() {
		by = v.name
	}
	detail := map[string]any{"note": clip(strings.TrimSpace(note), alarm.MaxNote)}
	if why != "" {
		detail["why"] = why
	}
	w.noteAs(r, clip(strings.TrimSpace(by), alarm.MaxBy), string(v.role), "acknowledge alarm", r.PathValue("id"), result, detail)
}

// backTo returns the path of ours that a form names, or the fleet.
func backTo(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n") {
		return "/"
	}
	return u.RequestURI()
}
