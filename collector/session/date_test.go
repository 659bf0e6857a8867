package session_test

import (
	"testing"
	"time"

	"andon.internal/collector/internal/edgetest"
	"andon.internal/collector/session"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// clockRig is a born node whose clock the test sets.
func clockRig(t *testing.T, off time.Duration) (*rig, *edgetest.Node) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	n.Now = func() time.Time { return r.now.Add(-off) }
	r.born(n)
	return r, n
}

// beats lets the node beat for as long as it takes to tell a clock that is behind. It ends
// at the start.
func (r *rig) beats(n *edgetest.Node) {
	r.t.Helper()
	for at := -10 * time.Second; at <= 0; at += 2 * time.Second {
		r.now = start.Add(at)
		r.take(n.Heartbeat(sparkplug.Heartbeat{}))
	}
}

// send sends a record of a clock and returns it as it was taken.
func (r *rig) send(n *edgetest.Node, c telemetry.Clock, at int64) *telemetry.Record {
	r.t.Helper()
	rec := n.Reading(unit, start.UnixNano(), at, n.Next, 3)
	rec.Clock = c
	for i := range rec.Qualities {
		rec.Qualities[i] = telemetry.QualitySimulated.WithTime(c.Quality)
	}
	rec.End = &telemetry.End{Time: at + 5e6, Reason: "finished"}
	got := r.take(n.Data(rec))
	if got.Entry == nil || got.Entry.Record == nil {
		r.t.Fatalf("record is %+v", got)
	}
	return got.Entry.Record
}

func TestTimes(t *testing.T) {
	const boot1970 = int64(100e9) // the wall clock began at 0 with the boot
	now := start.UnixNano()
	tests := []struct {
		name    string
		off     time.Duration // ours minus the node's
		quality telemetry.TimeQuality
		uptime  int64
		offset  int64
		taken   int64 // by the node's clock
		other   bool  // of another boot
		want    int64
		judged  telemetry.TimeQuality
	}{
		{"a good clock", 0, telemetry.TimeOK, 1e12, now - 1e12, now - 1e9, false, now - 1e9, telemetry.TimeOK},
		{"a clock behind", time.Minute, telemetry.TimeOK, 1e12, now - 60e9 - 1e12, now - 61e9, false, now - 61e9, telemetry.TimeSkewed},
		{"a clock ahead", -3 * time.Second, telemetry.TimeOK, 1e12, now + 3e9 - 1e12, now + 2e9, false, now + 2e9, telemetry.TimeSkewed},
		{"a little behind", 1900 * time.Millisecond, telemetry.TimeOK, 1e12, now - 19e8 - 1e12, now - 2e9, false, now - 2e9, telemetry.TimeOK},
		{"behind then, set since", 0, telemetry.TimeOK, 1e12, now - 60e9 - 1e12, now - 61e9, false, now - 61e9, telemetry.TimeSkewed},
		{"right then, behind since", time.Minute, telemetry.TimeOK, 1e12, now - 1e12, now - 1e9, false, now - 1e9, telemetry.TimeOK},
		{"slewed by little", time.Minute, telemetry.TimeOK, 1e12, now - 604e8 - 1e12, now - 61e9, false, now - 61e9, telemetry.TimeSkewed},
		{"behind, of an earlier boot", time.Minute, telemetry.TimeOK, 1e12, now - 1e12, now - 1e9, true, now - 1e9, telemetry.TimeOK},
		{"behind, and no boot time", time.Minute, telemetry.TimeOK, 0, now - 1e12, now - 61e9, false, now - 61e9, telemetry.TimeSkewed},
		{"a replay's own time", time.Minute, telemetry.TimeSource, 1e12, 0, 5e18 / 10, false, 5e18 / 10, telemetry.TimeSource},
		{"set meanwhile", time.Minute, telemetry.TimeStepped, 1e12, now - 1e12, now, false, now, telemetry.TimeStepped},
		{"no clock", start.Sub(time.Unix(0, boot1970)), telemetry.TimeUnsynced, boot1970, 0, 40e9, false, now - 60e9, telemetry.TimeCorrected},
		{"no clock then, one now", 0, telemetry.TimeUnsynced, boot1970, 0, 40e9, false, now - 60e9, telemetry.TimeCorrected},
		{"a clock, and a source without one", 0, telemetry.TimeUnsynced, 1e12, now - 1e12, 40e9, false, 40e9, telemetry.TimeUnsynced},
		{"the same, in an earlier boot", 0, telemetry.TimeUnsynced, 1e12, now - 1e15, 40e9, true, 40e9, telemetry.TimeUnsynced},
		{"no clock, in an earlier boot", 0, telemetry.TimeUnsynced, boot1970, 0, 40e9, true, now - boot1970 - 5e6, telemetry.TimeUnsynced},
		{"no clock, and no boot time", 0, telemetry.TimeUnsynced, 0, 0, 40e9, false, now - 5e6, telemetry.TimeUnsynced},
		{"taken behind its sending", 0, telemetry.TimeUnsynced, boot1970, 0, 200e9, false, now - boot1970 - 5e6, telemetry.TimeUnsynced},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			r, n := clockRig(t, tc.off)
			r.beats(n)
			n.Uptime = tc.uptime
			c := telemetry.Clock{Boot: n.Boot, Offset: tc.offset, Quality: tc.quality}
			if tc.other {
				c.Boot = edgetest.NewEpoch()
			}
			got := r.send(n, c, tc.taken)
			if got.Times[0] != tc.want || got.Times[2] != tc.want+2e6 || got.End.Time != tc.want+5e6 {
				t.Errorf("times %v and end %d, want from %d", got.Times, got.End.Time, tc.want)
			}
			if got.Clock.Quality != tc.judged || got.Qualities[2] != telemetry.QualitySimulated.WithTime(tc.judged) {
				t.Errorf("quality %v and %v, want %v", got.Clock.Quality, got.Qualities[2], tc.judged)
			}
			if got.Born != start.UnixNano() {
				t.Error("the run has another name")
			}
		})
	}
}

// TestTheLeastTransitCounts: what a slow message would add is not in the time, whether the
// node has a clock meanwhile or not.
func TestTheLeastTransitCounts(t *testing.T) {
	for name, off := range map[string]time.Duration{
		"no clock": start.Sub(time.Unix(0, 100e9)), "a clock since": 0,
	} {
		t.Run(name, func(t *testing.T) {
			r, n := clockRig(t, off)
			n.Uptime = 100e9
			sent := r.now.Add(-off)
			n.Now = func() time.Time { return sent }
			r.pass(1500 * time.Millisecond) // on its way
			got := r.send(n, telemetry.Clock{Boot: n.Boot, Quality: telemetry.TimeUnsynced}, 40e9)
			if late := time.Duration(got.Times[0] - start.Add(-time.Minute).UnixNano()); late != 0 {
				t.Errorf("found %v too late", late)
			}
		})
	}
}

// TestAnotherClockDatesNothing: a message without an anchor came by a clock that was an hour
// ahead of the node's; what the node took without a clock is not dated by it.
func TestAnotherClockDatesNothing(t *testing.T) {
	r, n := clockRig(t, time.Hour)
	n.Uptime = 1e12
	r.take(n.Data(reading(n, 1)))
	right := *n
	right.Uptime, right.Now = 0, func() time.Time { return r.now }
	r.take(right.Data(reading(&right, 1)))
	n.Seq, n.Next = right.Seq, right.Next
	taken := int64(40e9)
	got := r.send(n, telemetry.Clock{Boot: n.Boot, Quality: telemetry.TimeUnsynced}, taken)
	if off := time.Duration(got.Times[0] - (r.now.UnixNano() - 1e12 + taken)); off < -time.Second || off > time.Second {
		t.Errorf("dated off by %v", off)
	}
}

// TestTimesNeverRunBackwards where births and the first record were 3 s on their way: what
// follows keeps its distance until a pause is long enough to move, and a minute without a
// quick message moves nothing.
func TestTimesNeverRunBackwards(t *testing.T) {
	const booted = 100e9
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	delay := 3 * time.Second
	n.Now = func() time.Time { return r.now.Add(-delay).Add(-start.Sub(time.Unix(0, booted))) }
	r.born(n)
	unsynced := telemetry.Clock{Boot: n.Boot, Quality: telemetry.TimeUnsynced}
	steps := []struct {
		after, delay, late time.Duration
	}{
		{0, 3 * time.Second, 3 * time.Second},
		{time.Second, 0, 3 * time.Second},
		{time.Second, 2 * time.Second, 3 * time.Second},
		{10 * time.Second, time.Second, 0},
		{90 * time.Second, 3 * time.Second, 0},
		{time.Second, 0, 0},
	}
	var taken, before time.Duration
	for i, s := range steps {
		taken += s.after
		delay = s.delay
		r.now = start.Add(taken + delay)
		n.Uptime = booted + taken.Nanoseconds()
		got := r.send(n, unsynced, n.Uptime-10e6)
		at := time.Duration(got.Times[0] - start.UnixNano() + 10e6)
		if at != taken+s.late {
			t.Errorf("record %d, taken at %v, has the time %v, want %v later", i, taken, at, s.late)
		}
		if i > 0 && at <= before {
			t.Errorf("record %d is at %v, the one before at %v", i, at, before)
		}
		before = at
	}
}

// TestSkewIsTheLeast of a minute: neither a slow message nor one slow link in a while
// counts, and a clock that was set is seen at once by its anchor.
func TestSkewIsTheLeast(t *testing.T) {
	r, n := clockRig(t, 0)
	off, onWay := time.Duration(0), time.Duration(0)
	n.Now = func() time.Time { return r.now.Add(-off - onWay) }
	beat := func() session.Skew { return r.take(n.Heartbeat(sparkplug.Heartbeat{})).Skew }
	if got := beat(); !got.Known || got.By != 0 {
		t.Fatalf("at first %+v", got)
	}
	onWay = 40 * time.Second
	for range 20 {
		r.pass(2 * time.Second)
		if got := beat(); got.Beyond(session.SkewLimit) {
			t.Fatalf("a slow link is taken for a wrong clock: %+v", got)
		}
	}
	onWay = 0
	data := func() session.Skew {
		n.Uptime = 1000e9 + r.now.Sub(start).Nanoseconds()
		return r.take(n.Data(reading(n, 1))).Skew
	}
	data()
	off = time.Hour // it was set back
	beat()          // nobody can know yet which clock this is by
	for range 5 {
		if got := data(); got.By != time.Hour || !got.Known {
			t.Errorf("set back an hour: %+v", got)
		}
		beat()
		r.pass(2 * time.Second)
	}
	off = -time.Hour
	beat()
	if got := data(); got.By != -time.Hour || !got.Known {
		t.Errorf("set ahead an hour: %+v", got)
	}
	off = 0
	for range 3 {
		data()
	}
	if got := data(); got.By != 0 || !got.Known {
		t.Errorf("set right: %+v", got)
	}
	r.pass(2 * time.Minute)
	off = 5 * time.Second
	for range 20 {
		if got := beat(); got.Known {
			t.Fatalf("after a pause of ours the messages that waited say %+v", got)
		}
	}
}

// TestAClockThatIsFarBehind: no message is a quarter of an hour on its way, so one is enough,
// and so is a record that another clock gave, while that of the sending is not known yet.
func TestAClockThatIsFarBehind(t *testing.T) {
	for _, c := range []struct {
		off, then time.Duration // of the clock at the sending, and when the record was taken
		want      telemetry.TimeQuality
	}{
		{0, 0, telemetry.TimeOK},
		{time.Hour, time.Hour, telemetry.TimeSkewed},
		{time.Hour, 0, telemetry.TimeOK},
		{5 * time.Minute, 5 * time.Minute, telemetry.TimeOK}, // a message may have been long on its way
		{5 * time.Minute, time.Hour, telemetry.TimeSkewed},
		{5 * time.Minute, -time.Hour, telemetry.TimeSkewed},
		{5 * time.Minute, 2 * time.Minute, telemetry.TimeOK}, // nobody can know
	} {
		r, n := clockRig(t, c.off)
		n.Uptime = 1e12
		by := start.UnixNano() - int64(c.then)
		got := r.send(n, telemetry.Clock{Boot: n.Boot, Offset: by - 1e12, Quality: telemetry.TimeOK}, by-1e9)
		if q := got.Clock.Quality; q != c.want {
			t.Errorf("off by %v at the sending and %v before: quality %v, want %v", c.off, c.then, q, c.want)
		}
	}
}

// TestMessagesWithoutAnAnchorHideNoClock: whoever sends in the node's name by another clock, and
// does not say an anchor, does not make the node's right.
func TestMessagesWithoutAnAnchorHideNoClock(t *testing.T) {
	r, n := clockRig(t, time.Hour)
	n.Uptime = 1e12
	right := *n
	right.Uptime, right.Now = 0, func() time.Time { return r.now }
	r.take(right.Data(reading(&right, 1)))
	n.Seq, n.Next = right.Seq, right.Next
	if got := r.take(n.Data(reading(n, 1))).Skew; !got.Known || got.By < time.Hour {
		t.Errorf("beside messages by another clock the node's is off by %+v", got)
	}
}

// TestAStragglerSaysNothingOfTheClock: a message of an earlier session, which had another
// clock, comes when the next one has begun.
func TestAStragglerSaysNothingOfTheClock(t *testing.T) {
	r, n := clockRig(t, 0)
	n.Uptime = 1000e9
	old := *n
	old.Now = func() time.Time { return r.now.Add(time.Hour) }
	straggler := old.Data(reading(n, 1))
	n.Session++
	r.born(n)
	if got := r.take(straggler); got.Reason != session.WrongSession || got.Skew.By != 0 {
		t.Errorf("a straggler is %v and says %+v", got.Reason, got.Skew)
	}
}

// TestTimesThatCannotBeMoved go to the quarantine, rather than wrap around.
func TestTimesThatCannotBeMoved(t *testing.T) {
	const far = int64(9e18)
	for name, tc := range map[string]struct{ offset, at, end int64 }{
		"offset":      {-far, 40e9, 41e9},
		"first time":  {0, -far, 41e9},
		"last time":   {0, far, far + 5e6},
		"end":         {0, 40e9, far},
		"end of past": {0, 40e9, -far},
	} {
		t.Run(name, func(t *testing.T) {
			r, n := clockRig(t, 0)
			n.Uptime = 100e9
			rec := n.Reading(unit, start.UnixNano(), tc.at, n.Next, 3)
			rec.Clock = telemetry.Clock{Boot: n.Boot, Offset: tc.offset, Quality: telemetry.TimeUnsynced}
			rec.End = &telemetry.End{Time: tc.end, Reason: "finished"}
			if got := r.take(n.Data(rec)); got.Entry == nil || got.Entry.Poison == nil || got.Entry.Record != nil {
				t.Errorf("got %+v, want it for the quarantine", got)
			}
		})
	}
}

// TestAQueueIsNoSlowClock: data that waited in the node's own queue on a thin link never say
// that its clock is behind; heartbeats do, and what is ahead is seen from data too.
func TestAQueueIsNoSlowClock(t *testing.T) {
	r, n := clockRig(t, 0)
	off := 5 * time.Second
	n.Now = func() time.Time { return r.now.Add(-off) }
	r.pass(2 * time.Minute) // the births are forgotten
	data := func() session.Skew {
		r.pass(2 * time.Second)
		n.Uptime = 1000e9 + r.now.Sub(start).Nanoseconds()
		return r.take(n.Data(reading(n, 1))).Skew
	}
	for range 20 {
		if got := data(); got.Known {
			t.Fatalf("a queue of 5 s is taken for a clock: %+v", got)
		}
	}
	for range 6 {
		r.take(n.Heartbeat(sparkplug.Heartbeat{}))
		data()
	}
	if got := data(); got.By != off || !got.Known {
		t.Errorf("with heartbeats %+v", got)
	}
	off = -5 * time.Second
	if got := data(); got.By != off || !got.Known {
		t.Errorf("ahead %+v", got)
	}
}
