package broker

import (
	"container/list"
	"sync"
)

// room is a bounded place for connections that others must not have to make way for:
// those that have no session yet, and those in the middle of a large packet. When it is
// full, whoever has been in it longest leaves for the newest: an honest client stays for
// milliseconds, and must find a place.
type room struct {
	bound string // its name, among the limits
	limit int64

	mu    sync.Mutex
	taken int64
	in    *list.List // of *guest, the oldest first
}

// guest is a connection in a room.
type guest struct {
	conn  *conn
	takes int64
	place *list.Element // under the room's lock; nil: not in it any more
}

func newRoom(bound string, limit int64) *room {
	return &room{bound: bound, limit: limit, in: list.New()}
}

// enter takes a connection in and closes those that must leave for it.
func (r *room) enter(c *conn, takes int64) *guest {
	g := &guest{conn: c, takes: takes}
	for _, out := range r.admit(g) {
		out.crowd(r.bound)
	}
	return g
}

func (r *room) admit(g *guest) (out []*conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.taken+g.takes > r.limit && r.in.Len() > 0 {
		oldest := r.in.Front().Value.(*guest)
		r.dropLocked(oldest)
		out = append(out, oldest.conn)
	}
	g.place = r.in.PushBack(g)
	r.taken += g.takes
	return out
}

// leave lets a guest out, who may have left. A nil guest was never in.
func (r *room) leave(g *guest) {
	if g == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropLocked(g)
}

func (r *room) dropLocked(g *guest) {
	if g.place == nil {
		return
	}
	r.in.Remove(g.place)
	r.taken -= g.takes
	g.place = nil
}

// load returns what is taken of the room.
func (r *room) load() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return float64(r.taken)
}
