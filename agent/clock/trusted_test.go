package clock_test

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent/clock"
	"andon.internal/agent/state"
)

// memory is a state that counts how often it is written.
type memory struct {
	values map[string][]byte
	writes int
}

func (m *memory) Get(bucket, key string) ([]byte, error) { return m.values[bucket+key], nil }

func (m *memory) Put(bucket, key string, value []byte) error {
	m.values[bucket+key] = value
	m.writes++
	return nil
}

const day = 24 * time.Hour

var (
	truth = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	built = truth.Add(-200 * day)
)

// open opens a clock over m whose system time is at.
func open(t *testing.T, m clock.Memory, at *time.Time) *clock.Trusted {
	t.Helper()
	c, err := clock.OpenTrusted(m, clock.TrustedOptions{
		System: func() time.Time { return *at }, Elapsed: func() time.Duration { return 0 }, Built: built,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheLatestOfThreeClocks(t *testing.T) {
	system := time.Unix(0, 0)
	c := open(t, &memory{values: map[string][]byte{}}, &system)
	expect := func(what string, want time.Time) {
		t.Helper()
		if got := c.Now(); !got.Equal(want) {
			t.Errorf("%s: it is %v, want %v", what, got, want)
		}
	}
	expect("in 1970", built)
	c.Confirm(truth) // which a clock in 1970 does not confirm
	expect("when another clock is right", built)
	c.Own(truth.Add(-30*day), truth.Add(60*day))
	expect("with a certificate", truth.Add(-30*day))
	c.Signed(truth.Add(-10 * day))
	expect("when the authority has signed", truth.Add(-10*day))
	c.Signed(truth.Add(-20 * day))
	expect("when it did so before", truth.Add(-10*day))
	system = truth
	expect("once it is set", truth)
	c.Confirm(truth.Add(time.Hour))
	system = time.Unix(0, 0)
	expect("after both clocks agreed", truth)
	c.Confirm(truth.Add(-time.Hour))
	expect("when the other one is behind", truth)
}

// TestAClockThatIsAheadLeavesNoTrace: neither ours nor another's.
func TestAClockThatIsAheadLeavesNoTrace(t *testing.T) {
	system := truth.Add(3000 * day)
	c := open(t, &memory{values: map[string][]byte{}}, &system)
	c.Own(truth.Add(-30*day), truth.Add(60*day))
	if got := c.Now(); !got.Equal(system) {
		t.Errorf("the system says %v, and it is %v", system, got)
	}
	c.Confirm(truth)
	system = truth
	c.Confirm(truth.Add(3000 * day))
	c.Signed(truth.Add(3000 * day)) // by an authority whose clock was ahead
	if got := c.Now(); !got.Equal(truth) {
		t.Errorf("it is %v, want %v", got, truth)
	}
}

// TestTheNextCertificateEndsAWrongLastGoodTime: whatever made it wrong.
func TestTheNextCertificateEndsAWrongLastGoodTime(t *testing.T) {
	system := truth
	c := open(t, &memory{values: map[string][]byte{}}, &system)
	c.Own(truth.Add(3000*day), truth.Add(3090*day))
	if got := c.Now(); !got.Equal(truth.Add(3000 * day)) {
		t.Errorf("with a certificate of the future it is %v", got)
	}
	c.Own(truth.Add(-time.Minute), truth.Add(90*day))
	if got := c.Now(); !got.Equal(truth) {
		t.Errorf("with the next certificate it is %v, want %v", got, truth)
	}
}

// TestTheLastGoodTimeRunsOn while the machine does, so that one without a clock sees its
// certificate come to its end, also over a start.
func TestTheLastGoodTimeRunsOn(t *testing.T) {
	m := &memory{values: map[string][]byte{}}
	var elapsed time.Duration
	start := func() *clock.Trusted {
		c, err := clock.OpenTrusted(m, clock.TrustedOptions{
			System: func() time.Time { return time.Unix(0, 0) }, Elapsed: func() time.Duration { return elapsed }, Built: built,
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Own(truth, truth.Add(90*day))
		return c
	}
	expect := func(what string, c *clock.Trusted, want time.Time) {
		t.Helper()
		if got := c.Now(); !got.Equal(want) {
			t.Errorf("%s it is %v, want %v", what, got, want)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Run(ctx); err != nil { // which saves first
			t.Fatal(err)
		}
	}
	elapsed = 5 * time.Hour // since boot
	c := start()
	expect("at first", c, truth)
	elapsed += 60 * day
	expect("after 60 days", c, truth.Add(60*day))
	elapsed = time.Minute
	c = start()
	expect("after a start", c, truth.Add(60*day))
	elapsed += 40 * day
	expect("behind the end", c, truth.Add(100*day))
	elapsed = time.Minute
	expect("behind the end, after a start", start(), truth.Add(100*day))
}

// TestTheLastGoodTimeIsKept, but not written more often than four times a day.
func TestTheLastGoodTimeIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{values: map[string][]byte{}}
		c, err := clock.OpenTrusted(m, clock.TrustedOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := c.Run(ctx); err != nil {
				t.Error(err)
			}
		}()
		for range 24 * 60 { // an acknowledgement a minute
			time.Sleep(time.Minute)
			c.Confirm(time.Now().Add(time.Second))
		}
		cancel()
		<-done
		if m.writes < 3 || m.writes > 5 {
			t.Errorf("it was written %d times in a day", m.writes)
		}
		again, err := clock.OpenTrusted(m, clock.TrustedOptions{System: func() time.Time { return time.Unix(0, 0) }})
		if err != nil {
			t.Fatal(err)
		}
		if behind := time.Since(again.Now()); behind < 0 || behind > 7*time.Hour {
			t.Errorf("after a start in 1970 it is %v, which is %v behind", again.Now(), behind)
		}
	})
}

// TestTheLastGoodTimeSurvives in the agent's real state.
func TestTheLastGoodTimeSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	for n, want := range []time.Time{built, truth} {
		s, err := state.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		system := time.Unix(0, 0)
		c := open(t, s, &system)
		if got := c.Now(); !got.Equal(want) {
			t.Errorf("at start %d it is %v, want %v", n, got, want)
		}
		c.Signed(truth)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Run(ctx); err != nil { // which saves first
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
