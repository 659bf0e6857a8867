package login

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"andon.internal/collector/account"
)

// Bounds of the book.
const (
	maxSessions = 10_000 // and logouts that are not written yet
	maxEach     = 50     // of one user: with more the one that was used longest ago ends
	seenEvery   = time.Minute
)

// book is users, sessions and tokens in memory.
type book struct {
	limits account.Limits

	mu       sync.Mutex
	read     bool // the accounts were read once
	users    map[string]account.User
	tokens   map[string]account.Token
	sessions map[account.Hash]*entry
	ended    map[account.Hash]bool // logouts that are not written yet
}

// entry is a session and what the database does not know of it.
type entry struct {
	account.Session
	unsaved bool // it is not written yet
	used    bool // when it was seen is not written yet
}

func newBook(l account.Limits) *book {
	return &book{limits: l, sessions: map[account.Hash]*entry{}, ended: map[account.Hash]bool{}}
}

func (b *book) known() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read
}

func (b *book) user(name string) (u account.User, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u, ok = b.users[name]
	return u, ok
}

func (b *book) token(id string) (t account.Token, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok = b.tokens[id]
	return t, ok
}

// changes returns what is to be written.
func (b *book) changes() (c account.Sessions) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.sessions {
		switch {
		case e.unsaved:
			c.New = append(c.New, e.Session)
		case e.used:
			c.Seen = append(c.Seen, e.Session)
		}
	}
	for id := range b.ended {
		c.Ended = append(c.Ended, id)
	}
	return c
}

// saved notes that these changes were written.
func (b *book) saved(c account.Sessions) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, list := range [][]account.Session{c.New, c.Seen} {
		for _, s := range list {
			if e := b.sessions[s.ID]; e != nil {
				e.unsaved, e.used = false, e.Seen.After(s.Seen)
			}
		}
	}
	for _, id := range c.Ended {
		delete(b.ended, id)
	}
}

// take brings what the database has. Its sessions are all there are, but for those not
// written yet.
func (b *book) take(all account.All) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read = true
	b.users, b.tokens = map[string]account.User{}, map[string]account.Token{}
	for _, u := range all.Users {
		b.users[u.Name] = u
	}
	for _, t := range all.Tokens {
		b.tokens[t.ID] = t
	}
	before := b.sessions
	b.sessions = map[account.Hash]*entry{}
	for id, e := range before {
		if e.unsaved {
			b.sessions[id] = e
		}
	}
	for _, s := range all.Sessions {
		e := before[s.ID]
		switch {
		case b.ended[s.ID]:
			continue
		case e == nil:
			e = &entry{Session: s}
		case s.Seen.After(e.Seen):
			e.Seen = s.Seen
		}
		b.sessions[s.ID] = e
	}
}

// open adds a session; ok is false when there are too many.
func (b *book) open(s account.Session) (ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.sessions)+len(b.ended) >= maxSessions {
		return false
	}
	var own []*entry
	for _, e := range b.sessions {
		if e.User == s.User {
			own = append(own, e)
		}
	}
	if len(own) >= maxEach {
		b.endLocked(slices.MinFunc(own, func(x, y *entry) int { return x.Seen.Compare(y.Seen) }).ID)
	}
	b.sessions[s.ID] = &entry{Session: s, unsaved: true}
	return true
}

func (b *book) end(id account.Hash) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endLocked(id)
}

func (b *book) endLocked(id account.Hash) {
	if b.sessions[id] != nil { // one that is not written yet may be on its way
		delete(b.sessions, id)
		b.ended[id] = true
	}
}

// session returns a session that is not over, and notes its use.
func (b *book) session(id account.Hash, now time.Time) (s account.Session, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.sessions[id]
	if e == nil || !b.holdsLocked(e, now) {
		return s, false
	}
	if now.Sub(e.Seen) >= seenEvery {
		e.Seen, e.used = now, true
	}
	return e.Session, true
}

// holdsLocked reports whether a session is not over, by time or by a change of its user.
func (b *book) holdsLocked(e *entry, now time.Time) bool {
	if e.Over(now, b.limits) {
		return false
	}
	if e.Revision == 0 {
		return true
	}
	u, known := b.users[e.User]
	return known && u.Revision == e.Revision && !u.Disabled
}

func (b *book) size(now time.Time) (sessions, unsaved int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.sessions {
		if b.holdsLocked(e, now) {
			sessions++
		}
		if e.unsaved {
			unsaved++
		}
	}
	return sessions, unsaved + len(b.ended)
}

// overview returns all without hashes, in order.
func (b *book) overview(now time.Time) (all account.All) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, u := range b.users {
		u.Hash = ""
		all.Users = append(all.Users, u)
	}
	for _, t := range b.tokens {
		t.Hash = account.Hash{}
		all.Tokens = append(all.Tokens, t)
	}
	for _, e := range b.sessions {
		if b.holdsLocked(e, now) {
			s := e.Session
			s.ID = account.Hash{}
			all.Sessions = append(all.Sessions, s)
		}
	}
	slices.SortFunc(all.Users, func(x, y account.User) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortFunc(all.Tokens, func(x, y account.Token) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortFunc(all.Sessions, func(x, y account.Session) int { return y.Created.Compare(x.Created) })
	return all
}
