package web

import (
	"context"
	"sync"
	"time"

	"andon.internal/collector/plant"
)

// Times of the event streams.
const (
	frameEvery     = time.Second
	heartbeatEvery = 2 * time.Second
	// takeWithin is how long a client may take nothing before its stream is ended.
	takeWithin = 10 * time.Second
	// urgentApart is the least time between two frames out of turn, so that a flood of
	// alarms does not become a flood of frames.
	urgentApart = 25 * time.Millisecond
)

// hub wakes the event streams: once a second, and at once for alarms and for
// broker or database. A stream that is busy finds the newest when it is done.
type hub struct {
	web *Web

	mu      sync.Mutex
	clients map[*client]bool
	closed  bool
	stamp   Stamp             // of the last frame
	cached  map[uint64][]byte // frames to version, by the version they begin at
	version uint64
	urgent  chan struct{} // capacity 1
}

// client is one event stream.
type client struct {
	wake  chan struct{} // capacity 1
	ended chan struct{} // closed with the hub
}

// maxCached bounds the frames kept for one tick; most clients share one.
const maxCached = 4

func newHub(w *Web) *hub {
	return &hub{web: w, clients: map[*client]bool{}, urgent: make(chan struct{}, 1)}
}

// tell wakes all clients soon.
func (h *hub) tell() {
	select {
	case h.urgent <- struct{}{}:
	default:
	}
}

// run wakes the clients until ctx ends, and ends their streams then.
func (h *hub) run(ctx context.Context) {
	tick := time.NewTicker(frameEvery)
	defer tick.Stop()
	defer h.end()
	apart := time.NewTimer(0)
	defer apart.Stop()
	for {
		urgent := false
		select {
		case <-tick.C:
		case <-h.urgent:
			urgent = true
		case <-h.web.sources.Plant.Alarmed():
			urgent = true
		case <-ctx.Done():
			return
		}
		h.refresh()
		h.wakeAll()
		if !urgent {
			continue
		}
		apart.Reset(urgentApart)
		select {
		case <-apart.C:
		case <-ctx.Done():
			return
		}
	}
}

// refresh makes the stamp anew, which needs the whole picture, once for all clients.
func (h *hub) refresh() {
	pic := h.web.sources.Plant.Snapshot(h.web.config.Now())
	stamp := h.web.links.stamp(&pic)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stamp, h.version, h.cached = stamp, pic.Version, map[uint64][]byte{}
}

func (h *hub) wakeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

func (h *hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for c := range h.clients {
		close(c.ended)
	}
	clear(h.clients)
}

// join admits a client; ok is false when there are too many, or the hub has ended.
func (h *hub) join() (c *client, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.clients) >= h.web.config.MaxClients {
		return nil, false
	}
	c = &client{wake: make(chan struct{}, 1), ended: make(chan struct{})}
	h.clients[c] = true
	h.web.config.Metrics.clients.Set(float64(len(h.clients)))
	return c, true
}

func (h *hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.clients, c)
	h.web.config.Metrics.clients.Set(float64(len(h.clients)))
}

// since returns the event that brings a client from a version to the newest, and the
// version it is at then. Clients that stand at the same version share its bytes.
func (h *hub) since(version uint64) (data []byte, to uint64) {
	h.mu.Lock()
	stamp, cached := h.stamp, h.cached[version]
	to = h.version
	h.mu.Unlock()
	if cached != nil {
		return cached, to
	}
	f, ok := h.web.frameSince(version, h.web.config.Now())
	if !ok {
		all := h.web.snapshot()
		return event("snapshot", all), all.Version
	}
	f.Stamp = stamp
	f.Stamp.Now = h.web.config.Now()
	data = event("change", f)
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.Version == h.version && len(h.cached) < maxCached {
		h.cached[version] = data
	}
	return data, f.Version
}

// lastStamp is the stamp of the last frame, at now.
func (h *hub) lastStamp() Stamp {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stamp.Now.IsZero() {
		h.stamp = h.web.links.stamp(&plant.Picture{})
	}
	s := h.stamp
	s.Now = h.web.config.Now()
	return s
}
