package sentry_test

import (
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/collector/feed"
	"andon.internal/collector/sentry"
)

func TestNoSilenceIsDecidedWithoutBroker(t *testing.T) {
	with(t, sentry.Config{}, nil, func(r *rig) {
		r.birth(1, "u")
		r.reading("u", 50)
		time.Sleep(3 * time.Second)
		r.broker.away.Store(true)
		time.Sleep(20 * time.Second)
		r.want("published while deaf", r.sent(), "")
		r.broker.away.Store(false)
		r.s.Connected()
		time.Sleep(3900 * time.Millisecond)
		r.want("published before the silence since the connection", r.sent(), "")
		time.Sleep(700 * time.Millisecond)
		r.want("published then", r.sent(), "node-offline 1 unacknowledged")
		r.broker.away.Store(true)
		time.Sleep(time.Second)
		r.broker.away.Store(false)
		time.Sleep(time.Second)
		if list := r.s.Open(); len(list) != 1 || list[0].Sequence != 1 {
			t.Errorf("a silence that is told does not stay: %+v", list)
		}
	})
}

func TestShortLossOfTheConnection(t *testing.T) {
	with(t, sentry.Config{}, nil, func(r *rig) {
		r.birth(1)
		time.Sleep(3900 * time.Millisecond)
		r.s.Connected() // anew, between two looks
		time.Sleep(3900 * time.Millisecond)
		r.want("published", r.sent(), "")
		time.Sleep(200 * time.Millisecond)
		r.want("published then", r.sent(), "node-offline 1 unacknowledged")
	})
}

func TestDeathCountsWithoutBroker(t *testing.T) {
	with(t, sentry.Config{}, nil, func(r *rig) {
		r.birth(1, "u")
		r.broker.away.Store(true)
		time.Sleep(time.Second)
		r.take(feed.Event{Kind: feed.NodeDied}) // it came before
		r.want("published", r.sent(), "node-offline 1 unacknowledged")
	})
}

// A process that was stopped reads what waits for it before it decides.
func TestStallIsNoSilence(t *testing.T) {
	for _, tt := range []struct {
		name  string
		early time.Duration // how long before the timer the first message is taken
	}{{"the timer turns first", 0}, {"a message is taken first", 2 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			with(t, sentry.Config{}, nil, func(r *rig) {
				r.birth(1, "u")
				r.reading("u", 50)
				time.Sleep(250 * time.Millisecond)
				r.broker.stall.Store(int64(7 * time.Second)) // the timer takes it at 0.5 s
				time.Sleep(250*time.Millisecond + 7*time.Second - tt.early)
				synctest.Wait()
				r.reading("u", 50)
				r.want("published", r.sent(), "")
				time.Sleep(tt.early)
				r.take(feed.Event{Kind: feed.NodeHeard})
				time.Sleep(3900 * time.Millisecond)
				r.want("published before its silence", r.sent(), "")
				time.Sleep(200 * time.Millisecond)
				r.want("published then", r.sent(), "node-offline 1 unacknowledged")
			})
		})
	}
}

// Units that wait in the queue behind their node's birth are not gone.
func TestStallBehindABirth(t *testing.T) {
	with(t, sentry.Config{}, nil, func(r *rig) {
		r.birth(1, "u")
		r.reading("u", 100)
		time.Sleep(250 * time.Millisecond)
		r.birth(1)
		r.broker.stall.Store(int64(7 * time.Second))
		time.Sleep(250*time.Millisecond + 7*time.Second)
		synctest.Wait()
		r.take(feed.Event{Kind: feed.NodeHeard})
		r.want("published", r.sent(), "hot 1 unacknowledged")
	})
}
