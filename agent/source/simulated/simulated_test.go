package simulated_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"andon.internal/agent/source"
	"andon.internal/agent/source/simulated"
	"andon.internal/agent/source/simulated/dyno"
	"andon.internal/agent/source/sourcetest"
	"andon.internal/shared/ops/opstest"
	"andon.internal/shared/profiles"
	"andon.internal/shared/telemetry"
)

var profile = profiles.Find(profiles.Builtin(), "dyno")

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Driver{New: func(tb testing.TB) source.Source {
		s, err := simulated.New(simulated.Config{Profile: profile, Rate: 200, Latency: time.Millisecond})
		if err != nil {
			tb.Fatal(err)
		}
		return s
	}})
}

// reading is a reading without its batch.
type reading struct {
	unit   string
	time   int64
	values []telemetry.Value
}

func (r *reading) float(signal string) (float64, bool) {
	return r.values[profile.Index(signal)].Float()
}

// rig is an open source in a bubble of simulated time.
type rig struct {
	t       *testing.T
	source  *simulated.Source
	metrics *prometheus.Registry
	births  []string
	deaths  []string
}

func newRig(t *testing.T, c simulated.Config, runs ...source.Run) *rig {
	t.Helper()
	r := &rig{t: t, metrics: prometheus.NewRegistry()}
	c.Profile, c.Metrics = profile, simulated.NewMetrics(r.metrics)
	s, err := simulated.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context(), source.Resume{Runs: runs}); err != nil {
		t.Fatal(err)
	}
	r.source = s
	t.Cleanup(func() { s.Close() })
	return r
}

// read collects what arrives for a while.
func (r *rig) read(d time.Duration) []reading {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), d)
	defer cancel()
	var out []reading
	var b source.Batch
	for {
		b.Reset()
		if err := r.source.Read(ctx, &b); err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				r.t.Fatal(err)
			}
			return out
		}
		for _, e := range b.Events {
			switch e.Kind {
			case source.Birth:
				r.births = append(r.births, e.Unit)
			case source.Death:
				r.deaths = append(r.deaths, e.Unit+" "+e.Reason)
			case source.Reading:
				out = append(out, reading{e.Unit, e.Time, slices.Clone(e.Values)})
			}
		}
	}
}

func (r *rig) count(name string) float64 {
	r.t.Helper()
	return opstest.Metric(r.t, r.metrics, name)
}

func TestUnitsAreBornTestedAndReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, simulated.Config{Stations: 2, Programme: time.Minute, Idle: 5 * time.Second})
		r.read(140 * time.Second)
		want := []string{"dyno-01-0001", "dyno-02-0001", "dyno-01-0002", "dyno-02-0002", "dyno-01-0003", "dyno-02-0003"}
		slices.SortFunc(r.births, func(a, b string) int { return strings.Compare(a[8:], b[8:]) })
		slices.Sort(want)
		slices.Sort(r.births)
		if !slices.Equal(r.births, want) {
			t.Errorf("born %v, want %v", r.births, want)
		}
		if len(r.deaths) != 4 || !strings.HasSuffix(r.deaths[0], " finished") {
			t.Errorf("died %v, want four that are finished", r.deaths)
		}
	})
}

func TestReadingsKeepTheirPeriodWhileNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, simulated.Config{Stations: 1, Rate: 1000})
		r.read(100 * time.Millisecond)
		time.Sleep(5 * time.Second) // the consumer is away, in the bubble's time
		got := r.read(100 * time.Millisecond)
		if len(got) < 5000 {
			t.Fatalf("%d readings were taken in 5 s at 1 kHz", len(got))
		}
		for i := 1; i < len(got); i++ {
			if d := got[i].time - got[i-1].time; d != int64(time.Millisecond) {
				t.Fatalf("readings %d and %d are %v apart", i-1, i, time.Duration(d))
			}
		}
	})
}

func TestWhatFindsNoRoomIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, simulated.Config{Stations: 1, Rate: 100, Queue: 50})
		time.Sleep(10 * time.Second)
		got := r.read(0)
		got = append(got, r.read(time.Nanosecond)...)
		taken, missed := r.count("andon_simulated_readings_total"), r.count("andon_simulated_missed_total")
		if missed == 0 || float64(len(got))+missed < taken-1 {
			t.Errorf("%v taken, %d read, %v counted as missed", taken, len(got), missed)
		}
		if len(r.births) != 1 {
			t.Errorf("a full queue kept back a birth: %v", r.births)
		}
	})
}

func TestDropsAreCountedAndSeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, simulated.Config{Stations: 1, Rate: 100, Drop: 0.2})
		got := len(r.read(30 * time.Second))
		dropped := r.count("andon_simulated_dropped_total")
		if dropped < 500 || dropped > 700 || float64(got)+dropped < 2995 {
			t.Errorf("%d arrived and %v of 3000 were dropped, want about 600", got, dropped)
		}
	})
}

func TestPlannedAndInjectedFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, simulated.Config{Stations: 2, Faults: []simulated.Planned{
			{Station: 1, Kind: dyno.Dropout, After: 20 * time.Second, Duration: 10 * time.Second, Signal: "torque_nm"},
		}})
		first := int64(0)
		missing := 0
		for _, x := range r.read(60 * time.Second) {
			if first == 0 {
				first = x.time
			}
			_, ok := x.float("torque_nm")
			if ok {
				continue
			}
			missing++
			if at := time.Duration(x.time - first); !strings.HasPrefix(x.unit, "dyno-01") || at < 18*time.Second || at > 32*time.Second {
				t.Errorf("%s misses its torque after %v", x.unit, at)
			}
		}
		if missing < 9 || missing > 11 {
			t.Errorf("the torque was missing %d times, want about 10", missing)
		}
		if err := r.source.Inject("dyno-02", dyno.Fault{Kind: dyno.Overpressure}); err != nil {
			t.Fatal(err)
		}
		top := 0.0
		for _, x := range r.read(20 * time.Second) {
			if p, _ := x.float("hydraulic_pressure_psi"); strings.HasPrefix(x.unit, "dyno-02") {
				top = max(top, p)
			}
		}
		if top < 500 {
			t.Errorf("an injected overpressure reached %.0f psi", top)
		}
		if err := r.source.Inject("dyno-0", dyno.Fault{Kind: dyno.Overpressure}); !errors.Is(err, simulated.ErrNoUnit) {
			t.Errorf("inject into a unit that is not there: %v", err)
		}
		if err := r.source.Inject("dyno-02-0001", dyno.Fault{Kind: "gremlins"}); err == nil {
			t.Error("an unknown fault was taken")
		}
	})
}

func TestStopIsObeyedAndReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, simulated.Config{Stations: 1})
		r.read(2 * time.Minute)
		if err := r.source.Stop("dyno-01-0001"); err != nil {
			t.Fatal(err)
		}
		r.read(20 * time.Second)
		stopped := r.read(2 * time.Second)
		if v, _ := stopped[0].float("speed_rpm"); v > 10 {
			t.Errorf("20 s after the stop the shaft turns at %v rpm", v)
		}
		if err := r.source.Release("dyno-01-0001"); err != nil {
			t.Fatal(err)
		}
		r.read(20 * time.Second)
		running := r.read(2 * time.Second)
		if v, _ := running[0].float("speed_rpm"); v < 1000 {
			t.Errorf("20 s after the release the shaft turns at %v rpm", v)
		}
	})
}

func TestRunGoesOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := simulated.Config{Stations: 1}
		r := newRig(t, c)
		before := r.read(3 * time.Minute)
		born := before[0].time
		r.source.Close()
		time.Sleep(20 * time.Second)
		r2 := newRig(t, c, source.Run{Unit: "dyno-01-0001", Profile: profile, Born: born})
		after := r2.read(5 * time.Second)
		if len(r2.births) != 0 || len(after) == 0 || after[0].unit != "dyno-01-0001" {
			t.Fatalf("born again: %v", r2.births)
		}
		a, _ := before[len(before)-1].float("case_temp_c")
		b, _ := after[0].float("case_temp_c")
		if b < a-5 {
			t.Errorf("the case was at %.1f degC and is at %.1f after a restart of 20 s", a, b)
		}
	})
}

func TestConfigurationFaultsAreTold(t *testing.T) {
	for name, c := range map[string]simulated.Config{
		"profile":  {Profile: profiles.Find(profiles.Builtin(), "turbofan")},
		"stations": {Profile: profile, Stations: 5000},
		"rate":     {Profile: profile, Rate: 1e6},
		"drop":     {Profile: profile, Drop: 1},
		"fault":    {Profile: profile, Faults: []simulated.Planned{{Station: 1, Kind: "gremlins"}}},
		"station":  {Profile: profile, Faults: []simulated.Planned{{Station: 9, Kind: dyno.Spike}}},
		"signal":   {Profile: profile, Faults: []simulated.Planned{{Station: 1, Kind: dyno.Spike, Signal: "smell"}}},
		"prefix":   {Profile: profile, Prefix: "a/b"},
	} {
		if _, err := simulated.New(c); err == nil || !strings.Contains(err.Error(), map[string]string{"prefix": "unit"}[name]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMetricsAreRegistered(t *testing.T) {
	reg := prometheus.NewRegistry()
	simulated.NewMetrics(reg)
	if n, err := testutil.GatherAndCount(reg); err != nil || n != 3 {
		t.Errorf("%d metrics, %v", n, err)
	}
}
