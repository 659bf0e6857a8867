package oidc

import (
	"sync"
	"time"
)

// maxSpent bounds the logins remembered as used. Past it the oldest are forgotten: then
// the provider alone refuses a code that is used again, as it must.
const maxSpent = 4096

// spent remembers the logins that came back, so that each does so once.
type spent struct {
	mu    sync.Mutex
	until map[string]time.Time
	order []string // oldest first; all live equally long
}

// take reports whether the login comes back for the first time.
func (s *spent) take(p pending, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.order) > 0 && (len(s.order) >= maxSpent || !now.Before(s.until[s.order[0]])) {
		delete(s.until, s.order[0])
		s.order = s.order[1:]
	}
	if _, used := s.until[p.State]; used {
		return false
	}
	if s.until == nil {
		s.until = map[string]time.Time{}
	}
	s.until[p.State] = p.Until
	s.order = append(s.order, p.State)
	return true
}
