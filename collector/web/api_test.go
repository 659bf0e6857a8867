package web_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/collector/plant"
	"andon.internal/collector/web"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

func TestStamp(t *testing.T) {
	for _, tt := range []struct {
		name             string
		broker, database error
		simulated        bool
		source           string
		lost             []string
	}{
		{"live", nil, nil, false, "live", nil},
		{"simulated", nil, nil, true, "simulated", nil},
		{"database away", nil, errAway, true, "memory", []string{"DATABASE DOWN since 18:00:00: live from memory; history 15 min; acknowledgements not yet durable"}},
		{"broker away", errAway, nil, false, "memory", []string{"BROKER AWAY since 18:00:00: last known values"}},
		{"both away", errAway, errAway, false, "memory", []string{"BROKER AWAY", "DATABASE DOWN"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := setUp(t) // the bubble begins at midnight UTC, 18:00 in the plant
				f.setBroker(tt.broker)
				f.history.setDown(tt.database)
				q := telemetry.Quality(0)
				if tt.simulated {
					q = telemetry.QualitySimulated
				}
				f.read("dyno-0001", time.Now(), q, values(60, 400, true))
				stop := f.watch()
				defer stop()
				time.Sleep(1500 * time.Millisecond)
				for _, path := range []string{"/api/v1/fleet", "/api/v1/cells", "/api/v1/alarms", "/api/v1/units/austin-line1/dyno-0001", "/api/v1/units/austin-line1/dyno-0001/series"} {
					got := f.get(path, http.StatusOK)
					lost, _ := got["lost"].([]any)
					if got["source"] != tt.source || len(lost) != len(tt.lost) {
						t.Fatalf("%s: source %v, lost %v", path, got["source"], lost)
					}
					for i, want := range tt.lost {
						if !strings.HasPrefix(fmt.Sprint(lost[i]), want) {
							t.Errorf("%s: lost %q, want %q", path, lost[i], want)
						}
					}
					if (tt.source == "live") != (got["reason"] == nil) {
						t.Errorf("%s: reason %v", path, got["reason"])
					}
				}
				// It is over as soon as they are back.
				f.setBroker(nil)
				f.history.setDown(nil)
				time.Sleep(1500 * time.Millisecond)
				if got := f.get("/api/v1/fleet", http.StatusOK); got["source"] == "memory" {
					t.Errorf("both are back, source %v", got["source"])
				}
			})
		})
	}
}

// lines writes a series: its times relative to from, and the values of its signals.
func lines(from time.Time, s map[string]any) string {
	var b strings.Builder
	ms := func(v any) string {
		return time.Duration(v.(float64)*1e6 - float64(from.UnixNano())).Round(time.Second).String()
	}
	times, _ := s["t"].([]any)
	for i, at := range times {
		fmt.Fprint(&b, ms(at))
		for _, l := range s["signals"].([]any) {
			fmt.Fprint(&b, " ", l.(map[string]any)["avg"].([]any)[i])
		}
		b.WriteString("; ")
	}
	for _, g := range s["gaps"].([]any) {
		fmt.Fprint(&b, "gap ", ms(g.([]any)[0]), " ", ms(g.([]any)[1]), "; ")
	}
	for _, band := range s["bands"].([]any) {
		m := band.(map[string]any)
		fmt.Fprint(&b, m["priority"], " ", ms(m["from"]), " ", ms(m["to"]), "; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func TestSeriesFromMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		time.Sleep(time.Hour)
		start := time.Now()
		for s := range 20 {
			if s < 5 || s > 15 {
				f.read("dyno-0001", time.Now(), 0, values(float64(60+s), 400, true))
			}
			if s == 16 {
				f.raise("x", "dyno-0001", sentinel.High, time.Now())
			}
			time.Sleep(time.Second)
		}
		ask := fmt.Sprintf("/api/v1/units/austin-line1/dyno-0001/series?signals=winding_temp_c,unknown&from=%d&to=%d", start.UnixMilli(), time.Now().UnixMilli())
		want := "0s 60; 1s 61; 2s 62; 3s 63; 4s 64; 16s 76; 17s 77; 18s 78; 19s 79; gap 5s 16s; high 16s 20s"
		before := fmt.Sprintf("/api/v1/units/austin-line1/dyno-0001/series?from=%d&to=%d", start.UnixMilli(), start.Add(5*time.Second).UnixMilli())
		if got := f.get(before, http.StatusOK); len(got["gaps"].([]any)) != 0 || len(f.history.asked) != 0 {
			t.Errorf("gaps %v; the database was asked %d times for what lies in memory", got["gaps"], len(f.history.asked))
		}
		if got := f.get(ask, http.StatusOK); lines(start, got) != want {
			t.Errorf("got  %s\nwant %s", lines(start, got), want)
		}
		csv := f.do(http.MethodGet, ask+"&format=csv", "")
		if body := csv.Body.String(); !strings.Contains(body, "time,winding_temp_c\n1999-12-31T19:00:00.000-06:00,60\n") {
			t.Errorf("csv:\n%s", body)
		}
	})
}

// TestSeriesThatMemoryLacks has a unit that was on test before this process began, as
// after a restart: the database knows more of the last minutes.
func TestSeriesThatMemoryLacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		time.Sleep(12 * time.Hour) // the unit was born at midnight
		now := time.Now()
		f.read("dyno-0001", now, 0, values(60, 400, true))
		from := now.Add(-10 * time.Minute)
		f.history.series = web.Series{
			Profile: dyno, Times: []time.Time{from, now}, Qualities: []telemetry.Quality{0, 0},
			Signals: []web.SignalSeries{{Signal: 2, Avg: []float64{3, 60}}},
		}
		const ask = "/api/v1/units/austin-line1/dyno-0001/series?range=15m&signals=winding_temp_c"
		if got, want := lines(from, f.get(ask, http.StatusOK)), "0s 3; 10m0s 60"; !strings.HasPrefix(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		f.history.setDown(errAway)
		if got, want := lines(now, f.get(ask, http.StatusOK)), "0s 60; gap -15m0s 0s"; got != want {
			t.Errorf("without the database got  %s\nwant %s", got, want)
		}
	})
}

// signalNamed is how a chart shows a signal.
func signalNamed(series map[string]any, name string) map[string]any {
	for _, s := range series["profile"].(map[string]any)["signals"].([]any) {
		if s := s.(map[string]any); s["name"] == name {
			return s
		}
	}
	return nil
}

func TestSeriesFromHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		time.Sleep(48 * time.Hour)
		now := time.Now()
		high, own := 90., *dyno // not as installed, and in another order
		own.Signals = slices.Clone(dyno.Signals)
		own.Signals[2].Max = &high
		own.Signals[2], own.Signals[3] = own.Signals[3], own.Signals[2]
		r := &telemetry.Record{Unit: "dyno-0001", Profile: &own, Born: now.Truncate(24 * time.Hour).UnixNano()}
		r.Append(now.UnixNano(), 0, values(60, 400, true))
		f.p.Record(now, cell, r, false)
		from := now.Add(-8 * time.Hour)
		f.history.series = web.Series{
			Profile: dyno, Step: time.Minute,
			Times:     []time.Time{from, from.Add(time.Minute), from.Add(5 * time.Minute)},
			Qualities: []telemetry.Quality{0, telemetry.QualitySimulated, 0},
			Signals:   []web.SignalSeries{{Signal: 2, Low: []float64{1, 2, 3}, High: []float64{5, 6, math.NaN()}, Avg: []float64{3, 4, math.NaN()}}},
		}
		f.history.runs = []web.Run{{Node: "cell-07", Born: from.Add(-time.Hour), Died: from.Add(6 * time.Minute)}}
		got := f.get("/api/v1/units/austin-line1/dyno-0001/series?range=8h&signals=winding_temp_c&points=500", http.StatusOK)
		// The run under way has nothing stored yet, and is a gap behind these.
		if limit := signalNamed(got, "winding_temp_c")["plausible_max"]; limit != 90. {
			t.Errorf("plausible up to %v, want what the unit's own profile says", limit)
		}
		if g, want := lines(from, got), "0s 3; 1m0s 4; 5m0s <nil>; gap 2m0s 5m0s"; !strings.HasPrefix(g, want) {
			t.Errorf("got  %s\nwant %s", g, want)
		}
		if got["sim"] != true || got["step_ms"] != 60000. || got["source"] != "live" {
			t.Errorf("sim %v, step %v, source %v", got["sim"], got["step_ms"], got["source"])
		}
		q := f.history.asked[0]
		if !q.From.Equal(from) || q.Points != 500 || strings.Join(q.Signals, " ") != "winding_temp_c" {
			t.Errorf("asked for %+v", q)
		}
		// Without the database there is the last quarter of an hour, and it says so.
		f.history.setDown(errAway)
		got = f.get("/api/v1/units/austin-line1/dyno-0001/series?range=8h", http.StatusOK)
		if got["source"] != "memory" || !strings.Contains(fmt.Sprint(got["reason"]), "last 15 min only") || len(got["t"].([]any)) != 1 {
			t.Errorf("source %v, reason %v, times %v", got["source"], got["reason"], got["t"])
		}
		// A unit that only the database knows is not told to be unknown.
		if got := f.get("/api/v1/units/austin-line1/other/series?range=8h&signals=winding_temp_c", http.StatusServiceUnavailable); got["error"] == nil {
			t.Errorf("no reason: %v", got)
		}
	})
}

func TestBadQuestions(t *testing.T) {
	f := setUp(t)
	f.read("dyno-0001", time.Now(), 0, values(60, 400, true))
	const series = "/api/v1/units/austin-line1/dyno-0001/series"
	for path, want := range map[string]int{
		"/api/v1/nothing":                          404,
		"/api/v1/units/austin-line1/nobody":        404,
		"/api/v1/units/austin-line1/a%2Fb":         404,
		series + "?range=nonsense":                 400,
		series + "?range=-5m":                      400,
		series + "?range=999999999h":               400,
		series + "?range=400d":                     400,
		series + "?from=5":                         400,
		series + "?from=10&to=5":                   400,
		series + "?from=-99999999999999999&to=5":   400,
		series + "?points=5":                       400,
		series + "?points=1000000":                 400,
		series + "?signals=" + manySignals(30):     400,
		"/api/v1/events?unit=a/b/c":                400,
		"/api/v1/units/austin-line1/nobody/series": 404,
	} {
		if got := f.get(path, want); got["error"] == nil {
			t.Errorf("%s: no reason given", path)
		}
	}
}

func manySignals(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprint("s", i))
	}
	return strings.Join(list, ",")
}

// Two cells may have profiles of one name and layout with other ranges, as while one is rolled
// out, or a forged fingerprint: each unit is shown by its own.
func TestEachCellHasItsOwnProfile(t *testing.T) {
	f := setUp(t)
	now := time.Now()
	f.read("dyno-0001", now, 0, values(60, 300, true))
	high, other := 90., *dyno
	other.Signals = slices.Clone(dyno.Signals)
	other.Signals[2].Max = &high
	r := &telemetry.Record{Unit: "dyno-0002", Profile: &other, Born: now.Truncate(24 * time.Hour).UnixNano()}
	r.Append(now.UnixNano(), 0, values(60, 300, true))
	f.p.Record(now, telemetry.Node{Group: cell.Group, ID: "cell-08"}, r, false)
	same := other
	same.Signals = slices.Clone(other.Signals)
	r = &telemetry.Record{Unit: "dyno-0003", Profile: &same, Born: r.Born}
	r.Append(now.UnixNano(), 0, values(60, 300, true))
	f.p.Record(now, telemetry.Node{Group: cell.Group, ID: "cell-09"}, r, false)
	got := f.get("/api/v1/fleet", http.StatusOK)
	if n := len(got["profiles"].(map[string]any)); n != 2 {
		t.Errorf("%d profiles for two that differ", n)
	}
	// The heads of the columns say the same, so it is one line; with another unit it is not.
	heading := func() int {
		return strings.Count(f.do(http.MethodGet, "/", "").Body.String(), `<section class="line panel"`)
	}
	if n := heading(); n != 1 {
		t.Errorf("%d lines of one kind", n)
	}
	fahrenheit := other
	fahrenheit.Signals = slices.Clone(other.Signals)
	fahrenheit.Signals[2].Unit = "degF"
	f.p.UnitBorn(now, cell, plant.Birth{Unit: "dyno-0004", Profile: &fahrenheit, Born: now})
	if n := heading(); n != 2 {
		t.Errorf("%d lines of two kinds", n)
	}
	for i, want := range []float64{*dyno.Signals[2].Max, high} {
		unit := got["units"].([]any)[i].(map[string]any)
		profile := got["profiles"].(map[string]any)[unit["profile"].(string)].(map[string]any)
		if most := profile["signals"].([]any)[2].(map[string]any)["plausible_max"]; most != want {
			t.Errorf("%v: plausible up to %v, want %v", unit["unit"], most, want)
		}
	}
}

func TestUnitInFull(t *testing.T) {
	f := setUp(t)
	v := values(118.2, 400, true)
	v[3] = telemetry.Value{}
	v[4] = telemetry.DoubleValue(math.NaN())
	f.read("dyno-0001", time.Now(), telemetry.QualityMissing, v)
	got := f.get("/api/v1/units/austin-line1/dyno-0001", http.StatusOK)
	unit := got["unit"].(map[string]any)
	want, _ := json.Marshal([]any{31, 2400, 118.2, nil, nil, 51, 1.1, 400, 8, 91, 7, 1})
	if v, _ := json.Marshal(unit["v"]); string(v) != string(want) {
		t.Errorf("values %s, want %s", v, want)
	}
	profile := got["profiles"].(map[string]any)[unit["profile"].(string)].(map[string]any)
	winding := profile["signals"].([]any)[2].(map[string]any)
	if winding["label"] != "Winding" || winding["unit"] != "°C" || winding["max"] != 110. {
		t.Errorf("winding %v", winding)
	}
}
