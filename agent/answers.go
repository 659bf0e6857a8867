package agent

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/identity"
	"andon.internal/agent/inspect"
	"andon.internal/agent/local"
	"andon.internal/agent/state"
	"andon.internal/shared/ops"
	"andon.internal/shared/telemetry"
)

// The paths at the local socket. /v1/records is frames: see [frameRecord].
const (
	pathStatus   = "/v1/status"
	pathHoldings = "/v1/holdings"
	pathProfiles = "/v1/profiles"
	pathRecords  = "/v1/records"
)

// A frame is its kind, the length of what follows (4 bytes, big-endian), and that.
const (
	frameRecord = 1 // buffer.AppendStored
	frameDamage = 2 // inspect.Damage in JSON
	frameEnd    = 3 // nothing: all was sent
	frameFailed = 4 // text: why not
	frameMemory = 5 // as frameRecord, of a record that is not on disk yet
)

// answerEvery is how often the figures are put together at most, however many ask.
const answerEvery = 200 * time.Millisecond

// recent keeps an answer for a moment.
type recent[T any] struct {
	mu sync.Mutex
	at time.Time
	v  T
}

func (r *recent[T]) get(fresh func() T) T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at.IsZero() || time.Since(r.at) > answerEvery {
		r.v, r.at = fresh(), time.Now()
	}
	return r.v
}

// openLocal opens the socket. An agent without one is worth more than none.
func (a *Agent) openLocal() {
	s, err := a.listenLocal()
	if err != nil {
		var e error
		if s, e = local.ListenBare(string(a.cfg.Data), a.answers(), a.log); e != nil {
			a.log.Error("no local socket: andon-agent status and buffer cannot ask this agent", "error", errors.Join(err, e))
			return
		}
		a.log.Warn("no local socket in the data folder: andon-agent status and buffer ask by one without a file", "error", err)
		a.bare = true
	}
	a.local = s
	a.steps.add("close socket", s.Close)
}

// listenLocal opens the socket in the data folder, which must be in use: else the socket
// there may be another agent's.
func (a *Agent) listenLocal() (*local.Server, error) {
	if !a.state.Attached() {
		return nil, state.ErrNoStore
	}
	return local.Listen(string(a.cfg.Data), a.answers(), a.log)
}

// localRetry is how long it takes until a socket that could not be opened is tried again.
const localRetry = 2 * time.Second

// runLocal serves at the socket. One that could not be opened in the data folder, as on a
// disk that was full at the start, is opened as soon as it can be, and takes the place of the
// one without a file.
func (a *Agent) runLocal(ctx context.Context) error {
	if a.local == nil {
		return a.runLate(ctx, func() {})
	}
	if !a.bare {
		return a.local.Run(ctx)
	}
	until, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- a.local.Run(until) }()
	err := a.runLate(ctx, cancel)
	return errors.Join(err, <-done)
}

// runLate opens the socket in the data folder when that is possible, calls opened, and
// serves there.
func (a *Agent) runLate(ctx context.Context, opened func()) (err error) {
	var s *local.Server
	for s == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(localRetry):
		}
		late, e := a.listenLocal()
		if e != nil {
			continue // the start said so
		}
		a.log.Info("the local socket is open now")
		defer func() { err = errors.Join(err, late.Close()) }()
		s = late
	}
	opened()
	return s.Run(ctx)
}

// answers are what other commands on this machine may ask. They read figures behind the
// locks that every reading passes, for moments; only one at a time reads records.
func (a *Agent) answers() http.Handler {
	var status recent[inspect.Status]
	var holdings recent[inspect.Holdings]
	var profiles recent[map[string]json.RawMessage]
	reading := make(chan struct{}, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathStatus, func(w http.ResponseWriter, _ *http.Request) { sendJSON(w, status.get(a.status)) })
	mux.HandleFunc("GET "+pathHoldings, func(w http.ResponseWriter, _ *http.Request) {
		sendJSON(w, holdings.get(func() inspect.Holdings {
			h := inspect.HoldingsOf(string(a.cfg.Data), true, a.buffer.Inventory())
			c := a.card.status()
			h.Card = &c
			return h
		}))
	})
	mux.HandleFunc("GET "+pathProfiles, func(w http.ResponseWriter, _ *http.Request) { sendJSON(w, profiles.get(a.roster.Documents)) })
	mux.HandleFunc("GET "+pathRecords, func(w http.ResponseWriter, r *http.Request) {
		select {
		case reading <- struct{}{}:
			defer func() { <-reading }()
			a.sendRecords(w, r)
		default:
			http.Error(w, "somebody else reads the records just now", http.StatusServiceUnavailable)
		}
	})
	return mux
}

func sendJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who asked is gone
}

// sendRecords sends every record that is held, as [buffer.Buffer.Peek] gives them.
func (a *Agent) sendRecords(w http.ResponseWriter, r *http.Request) {
	var frame []byte
	send := func(kind byte, fill func(dst []byte) []byte) error {
		frame = fill(append(frame[:0], kind, 0, 0, 0, 0))
		binary.BigEndian.PutUint32(frame[1:], uint32(len(frame)-5))
		if err := local.ExtendWrite(w); err != nil {
			return err
		}
		_, err := w.Write(frame)
		return err
	}
	err := a.buffer.Peek(r.Context(), func(f buffer.Found) error {
		if f.Err == nil {
			kind := byte(frameRecord)
			if !f.OnDisk {
				kind = frameMemory
			}
			return send(kind, func(dst []byte) []byte { return buffer.AppendStored(dst, &f.Stored) })
		}
		b, err := json.Marshal(inspect.DamageOf(f))
		if err != nil {
			return err
		}
		return send(frameDamage, func(dst []byte) []byte { return append(dst, b...) })
	})
	if err != nil {
		_ = send(frameFailed, func(dst []byte) []byte { return append(dst, err.Error()...) })
		return
	}
	_ = send(frameEnd, func(dst []byte) []byte { return dst })
}

// status is how the agent is.
func (a *Agent) status() inspect.Status {
	s := inspect.Status{
		Version: ops.Version(), Group: a.cfg.Group, Node: a.cfg.Node, Epoch: telemetry.Epoch(a.buffer.Epoch()).String(),
		Boot: inspect.BootText(a.boot), PID: os.Getpid(), UptimeSeconds: time.Since(a.began).Seconds(), Data: string(a.cfg.Data),
		Link: a.link(), Buffer: inspect.FillOf(a.buffer.Stats()), Sources: a.sourceStates(), Card: a.card.status(),
		Clock: inspect.Clock{State: "set", Time: a.wall().UTC()}, Troubles: []string{},
	}
	if a.cfg.Clock().Wall < year2020 {
		s.Clock.State = "never set"
		s.Troubles = append(s.Troubles, "clock: it was never set; readings are dated when the plant knows the time")
	}
	if a.certificates.store != nil {
		leaf := a.certificates.store.Leaf()
		s.Certificate = &inspect.Certificate{Expires: leaf.NotAfter.UTC()}
		if a.cfg.MQTT.Enroll.URL != "" {
			s.Certificate.Renewed = identity.Due(leaf).UTC()
		}
		if err := a.keeper.Check(); err != nil {
			s.Certificate.Error = err.Error()
		}
	}
	checks, _ := a.health.Readiness()
	for _, c := range checks {
		if !c.OK {
			s.Troubles = append(s.Troubles, c.Name+": "+c.Reason)
		}
	}
	if n := len(s.Link.Parked); n > 0 {
		s.Troubles = append(s.Troubles, fmt.Sprintf("link: %d records keep failing and are tried only now and then", n))
	}
	if s.Buffer.LostRecords > 0 {
		s.Troubles = append(s.Troubles, fmt.Sprintf("buffer: %d records were lost since the start", s.Buffer.LostRecords))
	}
	return s
}

func (a *Agent) link() inspect.Link {
	u := a.uplink.Status()
	l := inspect.Link{
		Broker: a.cfg.MQTT.URL, Connected: u.Connected, Waiting: u.Waiting, Session: u.Session, Since: u.Since, Error: u.Error,
		LastHeard: u.LastHeard, Synced: u.Synced, Hold: u.Hold, HoldSince: u.HoldSince, HoldWhy: u.HoldWhy,
		CreditRecords: u.CreditRecords, CreditBytes: u.CreditBytes, InFlightRecords: u.InFlightRecords, InFlightBytes: u.InFlightBytes,
		RoundTripSeconds: u.RoundTrip.Seconds(), Units: u.Units, Parked: []inspect.Parked{},
	}
	for _, p := range u.Parked {
		l.Parked = append(l.Parked, inspect.Parked{
			Epoch: telemetry.Epoch(p.Epoch).String(), Position: p.Position, Unit: p.Unit, Reason: p.Reason, Times: p.Times, Next: p.Next,
		})
	}
	return l
}

func (a *Agent) sourceStates() []inspect.Source {
	malformed := a.malformed()
	list := []inspect.Source{}
	for i, s := range a.samplers {
		cfg, st := &a.cfg.Sources[i], s.State()
		out := inspect.Source{Name: cfg.Name, Driver: cfg.Driver, State: "opening", Readings: st.Readings, Refused: st.Refused, Latest: st.Latest}
		switch {
		case st.Ended:
			out.State = "ended"
		case st.Open:
			out.State = "reading"
		}
		if st.Err != nil {
			out.Error, out.Since = st.Err.Error(), st.Since
		}
		if !st.Latest.IsZero() {
			out.Quiet = time.Since(st.Latest).Seconds()
		}
		if cfg.Replay != nil {
			out.Malformed = malformed[string(cfg.Replay.File)]
		}
		list = append(list, out)
	}
	return list
}

// malformed returns how many lines of the replayed files are none, as the metrics say.
func (a *Agent) malformed() map[string]uint64 {
	out := map[string]uint64{}
	families, err := a.cfg.Registry.Gather()
	if err != nil {
		return out
	}
	for _, f := range families {
		if f.GetName() != "andon_replay_malformed_lines" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "file" {
					out[l.GetValue()] = uint64(m.GetGauge().GetValue())
				}
			}
		}
	}
	return out
}
