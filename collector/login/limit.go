package login

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits of logins.
const (
	freeTries  = 5 // wrong ones of a user from an address before it gets slower
	firstWait  = time.Second
	longestOne = 5 * time.Minute
	forgetting = time.Hour // without a try

	addressRate, addressBurst = 1, 20  // tries of an address, a second
	globalRate, globalBurst   = 20, 60 // of all together: less than two cores can hash

	remembered = 10_000 // pairs, and addresses
)

// recent is a map that keeps what was used last.
type recent[V any] struct {
	most  int
	items map[string]*list.Element
	order list.List // of *item[V], the latest first
}

type item[V any] struct {
	key   string
	value V
}

func newRecent[V any](most int) *recent[V] {
	return &recent[V]{most: most, items: map[string]*list.Element{}}
}

// get returns what is kept under a key, made where there is none.
func (r *recent[V]) get(key string, fresh func() V) *V {
	e := r.items[key]
	if e == nil {
		if len(r.items) >= r.most {
			last := r.order.Back()
			delete(r.items, r.order.Remove(last).(*item[V]).key)
		}
		e = r.order.PushFront(&item[V]{key, fresh()})
		r.items[key] = e
	}
	r.order.MoveToFront(e)
	return &e.Value.(*item[V]).value
}

func (r *recent[V]) drop(key string) {
	if e := r.items[key]; e != nil {
		r.order.Remove(e)
		delete(r.items, key)
	}
}

// Network is what is limited together: an address, or what one household gets of IPv6.
func Network(a netip.Addr) string {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// Limiter bounds how often each of many does something. It remembers the latest
// thousands of them. It is safe for concurrent use.
type Limiter struct {
	rate  rate.Limit
	burst int
	mu    sync.Mutex
	who   *recent[*rate.Limiter]
}

// NewLimiter returns a limiter of so many a second, and so many at once.
func NewLimiter(perSecond float64, burst int) *Limiter {
	return &Limiter{rate: rate.Limit(perSecond), burst: burst, who: newRecent[*rate.Limiter](remembered)}
}

// Wait returns 0 when who may go on, else how long to wait.
func (l *Limiter) Wait(who string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return wait(*l.who.get(who, func() *rate.Limiter { return rate.NewLimiter(l.rate, l.burst) }), now)
}

func wait(l *rate.Limiter, now time.Time) time.Duration {
	r := l.ReserveN(now, 1)
	after := r.DelayFrom(now)
	if after > 0 {
		r.CancelAt(now)
	}
	return after
}

// tries slows guessing down.
type tries struct {
	mu      sync.Mutex
	pairs   *recent[pair]
	address *Limiter
	global  *rate.Limiter
}

// pair is a user and an address.
type pair struct {
	wrong int // tries since the last right one
	last  time.Time
}

func newTries() *tries {
	return &tries{
		pairs: newRecent[pair](remembered), address: NewLimiter(addressRate, addressBurst),
		global: rate.NewLimiter(globalRate, globalBurst),
	}
}

func pairKey(name string, from netip.Addr) string { return Network(from) + " " + name }

// begin counts a try as a wrong one, so that many at once are not free, unless it returns
// how long to wait.
func (t *tries) begin(name string, from netip.Addr, now time.Time) time.Duration {
	if len(name) > 64 {
		name = name[:64] // no user has such a name
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// First, so that an address cannot make its own pairs be forgotten by trying many names.
	if after := t.address.Wait(Network(from), now); after > 0 {
		return after
	}
	p := t.pairs.get(pairKey(name, from), func() pair { return pair{} })
	if now.Sub(p.last) >= forgetting {
		p.wrong = 0
	}
	if p.wrong >= freeTries {
		pause := min(firstWait<<min(p.wrong-freeTries, 20), longestOne)
		if after := p.last.Add(pause).Sub(now); after > 0 {
			return after
		}
	}
	if after := wait(t.global, now); after > 0 {
		return after
	}
	p.wrong, p.last = p.wrong+1, now
	return 0
}

func (t *tries) succeeded(name string, from netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pairs.drop(pairKey(name, from))
}
