package simulated_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent/source"
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

// TestStandstill: after a minute in which the process stood still a second is made up for, and
// the rest is counted.
func TestStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stand atomic.Int64
		now := func() time.Time {
			time.Sleep(time.Duration(stand.Swap(0)))
			return time.Now()
		}
		r := newRig(t, simulated.Config{Stations: 3, Rate: 10, Now: now})
		r.read(5 * time.Second)
		before := r.count("andon_simulated_readings_total")
		stand.Store(int64(time.Minute))
		time.Sleep(time.Minute + time.Second/2)
		n, missed := r.count("andon_simulated_readings_total")-before, r.count("andon_simulated_missed_total")
		if n < 3*10 || n > 3*18 || n+missed < 3*603 || n+missed > 3*607 {
			t.Errorf("%v readings were made up for, and %v counted as missed, of 1815", n, missed)
		}
		if got := len(r.read(5 * time.Second)); got < 3*50+int(n)-9 || got > 3*50+int(n)+9 {
			t.Errorf("%d readings in 5 s behind it and of %v made up for", got, n)
		}
		if len(r.births) != 3 || len(r.deaths) != 0 {
			t.Errorf("born %v, ended %v", r.births, r.deaths)
		}
	})
}

// TestBatchesAreBounded: what has piled up comes in batches that are no larger than others.
func TestBatchesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, simulated.Config{Stations: 1, Rate: 1000})
		time.Sleep(10 * time.Second)
		var b source.Batch
		for left := 9900; left > 0; left -= len(b.Events) {
			b.Reset()
			if err := r.source.Read(t.Context(), &b); err != nil {
				t.Fatal(err)
			}
			if len(b.Events) > source.MaxBatch {
				t.Fatalf("a batch of %d", len(b.Events))
			}
		}
	})
}
