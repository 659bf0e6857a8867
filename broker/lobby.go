package broker

import (
	"container/list"
	"sync"
)

// lobby is where connections wait that have no session yet. It is bounded, so that
// whoever only opens connections takes neither the memory nor the places of those who
// have said who they are; and when it is full the one that has waited longest leaves for
// the newest, because an honest client stays for milliseconds and must find a place.
type lobby struct {
	limit int

	mu      sync.Mutex
	waiting *list.List // of *conn, the oldest first
}

func newLobby(limit int) *lobby { return &lobby{limit: limit, waiting: list.New()} }

// enter takes a connection in. It returns the one that must leave for it, which the
// caller closes, or nil.
func (y *lobby) enter(c *conn) (out *conn) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.waiting.Len() >= y.limit {
		out = y.waiting.Remove(y.waiting.Front()).(*conn)
		out.place = nil
	}
	c.place = y.waiting.PushBack(c)
	return out
}

// leave lets a connection out that has a session now, or is gone.
func (y *lobby) leave(c *conn) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if c.place != nil {
		y.waiting.Remove(c.place)
		c.place = nil
	}
}

func (y *lobby) len() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.waiting.Len()
}
