package bench_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"andon.internal/lab/bench"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// every returns n times from begin on, a period apart.
func every(period time.Duration, n int) []time.Time {
	out := make([]time.Time, n)
	for i := range out {
		out[i] = begin.Add(time.Duration(i) * period)
	}
	return out
}

func TestDecided(t *testing.T) {
	const ms = time.Millisecond
	// At 10 Hz, with the alarm's onset 2 s after the beginning and a pause 0.2 s behind
	// it. Of a gap, 2.5 usual periods count, and the usual period itself grows by an
	// eighth of what a reading is late, at most of three periods: 343.75 ms here.
	paused := func(pause time.Duration) []time.Time {
		list := every(100*ms, 40)
		for i := 23; i < len(list); i++ {
			list[i] = list[i].Add(pause - 100*ms)
		}
		return list
	}
	tests := map[string]struct {
		taken []time.Time
		delay time.Duration
		onset time.Duration // from begin on
		want  time.Duration // from the onset on; -1: an error
	}{
		"no delay":                  {every(100*ms, 40), 0, 2000 * ms, 0},
		"between two readings":      {every(100*ms, 40), 950 * ms, 2000 * ms, 950 * ms},
		"slow readings":             {every(time.Second, 9), time.Second, 2000 * ms, time.Second},
		"the onset is the newest":   {every(time.Second, 3), time.Second, 2000 * ms, time.Second},
		"a pause that is no gap":    {paused(240 * ms), time.Second, 2000 * ms, time.Second},
		"a gap holds the delay":     {paused(650 * ms), time.Second, 2000 * ms, 1306250 * time.Microsecond},
		"the unit left before":      {every(100*ms, 25), time.Second, 2000 * ms, -1},
		"an onset that nobody took": {every(100*ms, 40), time.Second, 2050 * ms, -1},
		"nothing is stored":         {nil, 0, 0, -1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			onset := begin.Add(tt.onset)
			got, err := bench.Decided(tt.delay, tt.taken, onset)
			if (err != nil) != (tt.want < 0) {
				t.Fatalf("%v, %v", got, err)
			}
			if err == nil && got.Sub(onset) != tt.want {
				t.Errorf("%v behind the onset, want %v", got.Sub(onset), tt.want)
			}
		})
	}
}

func TestPageNotesWhatCameWhen(t *testing.T) {
	stream := strings.Join([]string{
		"retry: 1000\n",
		"event: snapshot",
		`data: {"v":1,"units":[{"k":1,"unit":"dyno-01-0001","born":1000},{"k":2,"unit":"dyno-02-0001","born":2000,"died":3000},` +
			`{"k":4,"unit":"dyno-03-0001","born":2500}],"alarms":[]}` + "\n",
		"event: heartbeat",
		"data: no JSON: it is not looked at\n",
		"event: change",
		`data: {"v":2,"units":[{"k":3,"unit":"dyno-02-0002","born":4000}],"alarms":[{"id":"a","rule":"hot","unit":"dyno-01-0001","condition":"active",` +
			`"priority":"high","raised_at":"2026-01-02T03:04:05.5Z","onset_at":"2026-01-02T03:04:04.25Z","state":"unacknowledged"}]}` + "\n",
		"event: change",
		`data: {"v":3,"units":[{"k":1,"unit":"dyno-01-0001","born":1000,"died":5000}],"alarms":[{"id":"a","rule":"hot","unit":"dyno-01-0001","condition":"normal","priority":"high"}]}` + "\n",
		"event: change",
		`data: {"v":4,"gone":[4]}` + "\n",
		"",
	}, "\n")
	events := 0
	births, alarms, err := bench.Follow(strings.NewReader(stream), func() time.Time {
		events++
		return begin.Add(time.Duration(events) * time.Second)
	})
	if err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("at the end: %v", err)
	}
	if len(births) != 1 || !births["dyno-02-0002"].Equal(time.UnixMilli(4000)) {
		t.Errorf("on test: %v", births)
	}
	a, ok := alarms[[2]string{"hot", "dyno-01-0001"}]
	// Event 1 is the retry, 4 the first that has the alarm.
	if !ok || len(alarms) != 1 || !a.At.Equal(begin.Add(4*time.Second)) ||
		!a.Alarm.RaisedAt.Equal(begin.Add(500*time.Millisecond)) || !a.Alarm.OnsetAt.Equal(begin.Add(-750*time.Millisecond)) {
		t.Errorf("alarms: %+v", alarms)
	}
	_, _, err = bench.Follow(strings.NewReader("event: change\ndata: {\n\n"), time.Now)
	if err == nil || !strings.Contains(err.Error(), "change") {
		t.Errorf("of an event that is no JSON: %v", err)
	}
}

func TestFaultThatIsNotSeenIsMissed(t *testing.T) {
	l, err := bench.Unseen(t.Context(), begin, "dyno-01-0001", "dyno-02-0001")
	if err != nil {
		t.Fatal(err)
	}
	if l.Met() || l.Faults != 2 || len(l.Missed) != 2 || !strings.Contains(l.Missed[1], "thermal-runaway of dyno-02-0001") {
		t.Errorf("%+v", l)
	}
	r := bench.AlarmReport{Loads: []bench.AlarmLatency{*l, {Faults: 5}}}
	if !r.Loads[1].Met() {
		t.Error("with all seen and no time between, the target is missed")
	}
	if missed, faults := r.Missed(); missed != 2 || faults != 7 {
		t.Errorf("%d of %d are missed", missed, faults)
	}
}

func TestLifeOfAUnit(t *testing.T) {
	for unit, want := range map[string]int{"dyno-07-0001": 1, "dyno-107-0012": 12} {
		if n, err := bench.LifeOf(unit); err != nil || n != want {
			t.Errorf("%s: %d, %v", unit, n, err)
		}
	}
	if _, err := bench.LifeOf("press"); err == nil {
		t.Error("no error for a unit of another kind")
	}
}

// TestPressureComesBeforeHeat: a motor that overheats burns out, and its pressure would
// no longer be looked at. New units have time for both.
func TestPressureComesBeforeHeat(t *testing.T) {
	for _, programme := range []time.Duration{32 * time.Second, 90 * time.Second} {
		for n := range 200 {
			for _, from := range []time.Duration{time.Second, programme / 2, programme} {
				unit := fmt.Sprintf("dyno-%03d-0001", n)
				pressure, heat := bench.Moments(programme, unit, from)
				if (pressure >= 0 && pressure < from) || (heat >= 0 && heat < from) {
					t.Errorf("%s is broken at %v and %v, before %v", unit, pressure, heat, from)
				}
				if from == time.Second && (pressure < 0 || heat < 0) {
					t.Errorf("%s is not broken by both in %v: %v, %v", unit, programme, pressure, heat)
				}
				if heat >= 0 && pressure > heat {
					t.Errorf("%s is overheated at %v, before its pressure at %v", unit, heat, pressure)
				}
			}
		}
	}
}
