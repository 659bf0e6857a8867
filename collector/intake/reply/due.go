package reply

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// maxBurst is how many messages one node is sent at once.
const maxBurst = 8

// Due returns what is to be sent at now, and when to call it next. The caller sends
// all of it, or what it does not send is lost as if on the way.
func (b *Board) Due(now time.Time) (out []Out, next time.Time) {
	next = now.Add(b.config.Idle)
	out = b.dueRebirths(out, now, &next)
	b.active = 0
	for _, o := range b.nodes {
		if o.isActive(now) {
			b.active++
		}
	}
	for n, o := range b.nodes {
		if at := o.due(b.config); at.After(now) {
			next = earlier(next, at)
			continue
		}
		out = b.say(out, n, o, now)
		next = earlier(next, o.due(b.config))
	}
	return out, next
}

func (b *Board) dueRebirths(out []Out, now time.Time, next *time.Time) []Out {
	n := b.asks.take(len(b.asked), now)
	for _, node := range b.asked[:n] {
		out = append(out, Out{Node: node})
	}
	b.asked = slices.Delete(b.asked, 0, n)
	if len(b.asked) > 0 {
		*next = earlier(*next, b.asks.next(now))
	}
	return out
}

// due is when the node is to be spoken to next.
func (o *owed) due(c Config) time.Time {
	soon := o.said.Add(c.Interval)
	if o.news || len(o.fresh) > 0 || len(o.queue) > 0 {
		return soon
	}
	at := o.said.Add(c.Idle)
	if o.sync != nil {
		at = earlier(at, later(o.sync.again[0], soon))
	}
	return at
}

// say appends what the node is told now.
func (b *Board) say(out []Out, n telemetry.Node, o *owed, now time.Time) []Out {
	if len(o.queue) == 0 {
		b.compose(o, now)
	}
	credit := b.share(o, now)
	count := min(len(o.queue), maxBurst)
	for _, a := range o.queue[:count] {
		a.Credit, a.DB = credit, o.db
		out = append(out, Out{Node: n, Ack: &a})
	}
	o.queue = o.queue[count:]
	o.said, o.news = now, false
	return out
}

// compose fills the queue: the answer to the birth where it is due, then what is
// new, or once every Idle all that was committed of late.
func (b *Board) compose(o *owed, now time.Time) {
	o.turn(now, b.config.Repeat)
	if s := o.sync; s != nil && !now.Before(s.again[0]) {
		o.queue = b.split(s.has, &sparkplug.SyncPart{Session: s.session})
		if s.again = s.again[1:]; len(s.again) == 0 {
			o.sync = nil
		}
	}
	say := o.fresh
	if now.Sub(o.repeated) >= b.config.Idle {
		o.repeated = now
		say = Epochs{}
		say.add(o.older)
		say.add(o.recent)
	}
	if len(say) > 0 || len(o.queue) == 0 {
		o.queue = append(o.queue, b.split(say, nil)...)
	}
	o.fresh = Epochs{}
}

// split makes messages of bounded size from positions. There is at least one.
func (b *Board) split(e Epochs, sync *sparkplug.SyncPart) []sparkplug.Ack {
	a := sparkplug.Ack{Sync: sync, Credit: sparkplug.Credit{Records: b.config.Records, Bytes: b.config.Bytes}}
	keys := slices.SortedFunc(maps.Keys(e), func(x, y telemetry.Epoch) int { return bytes.Compare(x[:], y[:]) })
	for _, epoch := range keys {
		a.Epochs = append(a.Epochs, sparkplug.EpochRanges{Epoch: epoch, Committed: e[epoch]})
	}
	return sparkplug.SplitAck(a, b.config.MaxText)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// bucket is a token bucket that holds what a second gives.
type bucket struct {
	rate   float64 // per second
	tokens float64
	at     time.Time
}

// take takes up to n tokens and returns how many.
func (b *bucket) take(n int, now time.Time) int {
	b.fill(now)
	n = min(n, int(b.tokens))
	b.tokens -= float64(n)
	return n
}

// next is when there is a token.
func (b *bucket) next(now time.Time) time.Time {
	b.fill(now)
	if b.tokens >= 1 {
		return now
	}
	return now.Add(time.Duration((1 - b.tokens) / b.rate * float64(time.Second))).Add(time.Millisecond)
}

func (b *bucket) fill(now time.Time) {
	if b.at.IsZero() {
		b.tokens = b.rate
	} else if d := now.Sub(b.at); d > 0 {
		b.tokens = min(b.rate, b.tokens+b.rate*d.Seconds())
	}
	b.at = now
}
