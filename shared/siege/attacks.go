package siege

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Attack is one kind of it.
type Attack struct {
	Name string
	// Counter is the broker's metric that tells of it, without its prefix andon_broker_,
	// and Label the value of its label, or "".
	Counter, Label string
	// Fills says that it fills what the broker bounds in bytes: the queues of readers, or
	// packets that come in.
	Fills bool
	run   func(*assault)
}

// Run attacks until ctx ends. Connections that end or are refused are no error.
func (a *Attack) Run(ctx context.Context, t Target) {
	a.run(&assault{
		Context: ctx, Target: t,
		connects: rate.NewLimiter(rate.Limit(t.Connects), max(1, t.Connects/50)),
		packets:  rate.NewLimiter(rate.Limit(t.Packets), max(1, t.Packets/50)),
	})
}

// assault is an attack that goes on.
type assault struct {
	context.Context
	Target
	connects, packets *rate.Limiter
}

// again does one thing after another, at most at a rate, until the end.
func (a *assault) again(pace *rate.Limiter, do func(n int)) {
	for n := 0; pace.Wait(a) == nil; n++ {
		do(n)
	}
}

// hold has at most so many connections at a time, each in a goroutine that keep ends.
func (a *assault) hold(most int, keep func(n int)) {
	places := make(chan struct{}, most)
	var all sync.WaitGroup
	defer all.Wait()
	a.again(a.connects, func(n int) {
		select {
		case places <- struct{}{}:
		case <-a.Done():
			return
		}
		all.Go(func() {
			keep(n)
			<-places
		})
	})
}

// session does one thing after another in a session, and in a new one when it ends.
func (a *assault) session(w Who, pace *rate.Limiter, do func(c *client, n int) error) {
	var answers sync.WaitGroup
	defer answers.Wait()
	var c *client
	end := func() {
		if c != nil {
			c.end()
			c = nil
		}
	}
	defer end()
	a.again(pace, func(n int) {
		if c == nil {
			if a.connects.Wait(a) != nil {
				return
			}
			next, err := a.join(a, w, w.id(fmt.Sprint("x", n)), 30)
			if err != nil {
				return
			}
			c = next
			answers.Go(func() { next.gone(time.Hour) })
		}
		if do(c, n) != nil {
			end()
		}
	})
}

// Attacks are all kinds for a broker with TLS, or one without.
func Attacks(secure bool) []Attack {
	list := []Attack{
		{"huge packet before CONNECT", "refused_connections_total", "connect_too_large", false, hugeFirst},
		{"thousands of connections", "refused_connections_total", "max_pending", false, silentConnections},
		{"slow CONNECT", "refused_connections_total", "connect_timeout", false, slowConnect},
		{"keepalive 0", "forced_keepalives_total", "", false, keepaliveZero},
		{"topic flood", "paced_packets_total", "", false, topicFlood},
		{"half packets", "broken_sessions_total", "receive_bytes", true, halfPackets},
		{"absurd topics", "refused_messages_total", "", false, absurdTopics},
		{"subscription flood", "refused_subscriptions_total", "", false, subscriptionFlood},
		{"retained flood", "not_retained_total", "", false, retainedFlood},
		{"will abuse", "refused_connections_total", "connect_invalid", false, willAbuse},
		{"client id take-over", "take_overs_total", "", false, takeOver},
		{"malformed packets", "broken_sessions_total", "malformed", false, malformed},
		{"stuck reader", "write_timeouts_total", "", true, stuckReader},
	}
	if !secure {
		return list
	}
	for i := range list {
		switch list[i].Name {
		case "subscription flood": // of filters that a cell may not read
			list[i].Counter, list[i].Label = "denied_total", "subscribe"
		case "half packets": // or of one identity: max_connections_per_identity
			list[i].Label = ""
		case "retained flood":
			list[i].Counter, list[i].Label = "denied_total", "retain"
		case "client id take-over": // of another's
			list[i].Counter, list[i].Label, list[i].run = "denied_total", "connect", takeOverOfAnother
		}
	}
	return append(list,
		Attack{"handshakes never finished", "refused_connections_total", "max_pending", false, unfinishedHandshakes},
		Attack{"slow ClientHello", "refused_connections_total", "handshake_timeout", false, slowHello},
		Attack{"thousands of handshakes", "refused_connections_total", "tls", false, handshakes},
		Attack{"topics of others", "denied_total", "publish", false, foreignTopics},
	)
}
