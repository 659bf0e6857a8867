package health

import (
	"context"
	"sync"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// maxCells bounds what is kept of the cells that are heard.
const maxCells = 10_000

// Topics are the topic filters to listen to: signs of life, and not the readings.
func Topics(hostID string) []string {
	return []string{
		sparkplug.Topic{Type: sparkplug.HostState, Host: hostID}.String(),
		sparkplug.Namespace + "/+/NBIRTH/+",
		sparkplug.Namespace + "/+/NDATA/+",
		sparkplug.Namespace + "/+/NDEATH/+",
	}
}

// sign is what was last heard of a cell.
type sign struct {
	dead      bool
	heartbeat *sparkplug.Heartbeat // nil: said something else
}

// ear collects the signs of life. Its methods are safe for concurrent use.
type ear struct {
	hostID string

	mu   sync.Mutex
	news chan struct{} // closed and made anew with every sign
	all  map[telemetry.Node]sign
	host *sparkplug.State // nil: nothing is retained
}

func newEar(hostID string) *ear {
	return &ear{hostID: hostID, news: make(chan struct{}), all: map[telemetry.Node]sign{}}
}

// hear takes a message. What is not understood is no sign of life.
func (e *ear) hear(topic string, payload []byte, retained bool) {
	t, err := sparkplug.ParseTopic(topic)
	if err != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if t.Type == sparkplug.HostState {
		if s, err := sparkplug.ParseState(payload); err == nil && t.Host == e.hostID {
			e.host = &s
		}
	} else {
		e.hearNodeLocked(t, payload, retained)
	}
	close(e.news)
	e.news = make(chan struct{})
}

func (e *ear) hearNodeLocked(t sparkplug.Topic, payload []byte, retained bool) {
	id := telemetry.Node{Group: t.Group, ID: t.Node}
	known, ok := e.all[id]
	if retained || (!ok && len(e.all) >= maxCells) { // retained: said before, perhaps long ago
		return
	}
	if t.Type == sparkplug.NDeath {
		e.all[id] = sign{dead: true}
		return
	}
	p, err := sparkplug.Decode(payload, sparkplug.Limits{})
	if err != nil {
		return
	}
	s := sign{heartbeat: known.heartbeat} // a loss record says nothing about the buffer
	if h, ok := sparkplug.ParseHeartbeat(p); ok {
		s.heartbeat = &h
	}
	e.all[id] = s
}

// await returns when the host's state and every one of the cells have been heard, or
// ctx ends.
func (e *ear) await(ctx context.Context, cells []telemetry.Node) {
	for {
		e.mu.Lock()
		news, complete := e.news, e.host != nil
		for _, c := range cells {
			_, ok := e.all[c]
			complete = complete && ok
		}
		e.mu.Unlock()
		if complete {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			return
		}
	}
}

// heard returns what was heard. Nothing may be heard afterwards.
func (e *ear) heard() (map[telemetry.Node]sign, *sparkplug.State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.all, e.host
}
