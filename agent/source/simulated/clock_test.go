package simulated_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent/source/simulated"
)

// TestTheWallClockIsSet: machines run on and their readings come at their period, whatever the
// wall clock is set to; only what the readings say of their time goes with it.
func TestTheWallClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var off atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
		r := newRig(t, simulated.Config{Stations: 1, Rate: 10, Programme: time.Minute, Idle: 10 * time.Second, Now: now})
		for _, step := range []time.Duration{0, time.Hour, -time.Hour, -40 * 365 * 24 * time.Hour, 0} {
			off.Store(int64(step))
			got := r.read(5 * time.Second)
			if n := len(got); n < 48 || n > 52 {
				t.Fatalf("set by %v: %d readings in 5 s, want 50", step, n)
			}
			if at := time.Unix(0, got[len(got)-1].time); at.Sub(now()).Abs() > time.Second {
				t.Errorf("set by %v: the latest is of %v, and it is %v", step, at, now())
			}
		}
		if len(r.births) != 1 || len(r.deaths) != 0 {
			t.Errorf("born %v, ended %v", r.births, r.deaths)
		}
		r.read(time.Minute)
		if len(r.births) != 2 || len(r.deaths) != 1 {
			t.Errorf("a minute later: born %v, ended %v", r.births, r.deaths)
		}
	})
}
