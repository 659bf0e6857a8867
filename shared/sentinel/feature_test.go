package sentinel

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"andon.internal/shared/telemetry"
)

// TestFeaturesAgreeWithDefinition holds every incremental feature against its
// definition over the plain list of samples, through gaps, bursts and long times.
func TestFeaturesAgreeWithDefinition(t *testing.T) {
	span := 15 * time.Second
	inWindow := func(all []sample, at float64) []sample {
		for len(all) > 0 && all[0].t < at-span.Seconds() {
			all = all[1:]
		}
		return all
	}
	mean := func(w []sample) float64 {
		sum := 0.0
		for _, s := range w {
			sum += s.v
		}
		return sum / float64(len(w))
	}
	definitions := map[string]func(w []sample) float64{
		"last": func(w []sample) float64 { return w[len(w)-1].v },
		"avg":  mean,
		"min": func(w []sample) float64 {
			m := math.Inf(1)
			for _, s := range w {
				m = min(m, s.v)
			}
			return m
		},
		"max": func(w []sample) float64 {
			m := math.Inf(-1)
			for _, s := range w {
				m = max(m, s.v)
			}
			return m
		},
		"slope": func(w []sample) float64 {
			if len(w) < 2 {
				return 0
			}
			var mt, mv, a, b float64
			for _, s := range w {
				mt += s.t / float64(len(w))
				mv += s.v / float64(len(w))
			}
			for _, s := range w {
				a += (s.t - mt) * (s.v - mv)
				b += (s.t - mt) * (s.t - mt)
			}
			return a / b * 60
		},
		"frac_true": func(w []sample) float64 {
			n := 0.0
			for _, s := range w {
				if s.v > 500 {
					n++
				}
			}
			return n / float64(len(w))
		},
	}
	for name, define := range definitions {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			f := kinds[name].make(&Feature{Fn: name, Window: span, Per: time.Minute, Test: "> 500"})
			var all []sample
			at := 0.0
			for step := range 50_000 {
				gap := rng.ExpFloat64() * 0.2
				if rng.IntN(500) == 0 {
					gap = rng.Float64() * 40
				}
				at += gap
				v := 490 + 20*rng.Float64()
				if step%1000 < 300 {
					v += 1e6 // large and small values take turns, to show rounding that adds up
				}
				f.add(at, v)
				all = inWindow(append(all, sample{at, v}), at)
				got, n := f.value()
				if name != "last" && name != "slope" && n != len(all) {
					t.Fatalf("step %d: rests on %d samples, want %d", step, n, len(all))
				}
				want := define(all)
				if math.Abs(got-want) > 1e-6*max(1, math.Abs(want), 1e4) {
					t.Fatalf("step %d: got %v, want %v", step, got, want)
				}
			}
		})
	}
}

func TestEWMAFollowsTime(t *testing.T) {
	e := &ewma{tau: 2}
	e.add(0, 0)
	e.add(2, 1)
	if v, _ := e.value(); math.Abs(v-(1-math.Exp(-1))) > 1e-12 {
		t.Errorf("one tau after a unit step the average is %v, want 1-1/e", v)
	}
}

func TestWindowIsBounded(t *testing.T) {
	f := kinds["avg"].make(&Feature{Window: MaxWindow})
	for i := range 3 * MaxSamples {
		f.add(float64(i)*0.001, 1)
	}
	if _, n := f.value(); n != MaxSamples {
		t.Errorf("window holds %d samples, want %d", n, MaxSamples)
	}
}

func TestParseTest(t *testing.T) {
	for _, c := range []struct {
		text string
		v    float64
		want bool
	}{
		{"> 500", 500, false},
		{">500", 500.1, true},
		{">= 500", 500, true},
		{"< -1.5e2", -151, true},
		{"<= 3", 3.5, false},
		{"== 0", 0, true},
		{"!= 0", 0, false},
	} {
		f, err := parseTest(c.text)
		if err != nil || f(c.v) != c.want {
			t.Errorf("%q of %v: %v, want %v", c.text, c.v, err, c.want)
		}
	}
	for _, text := range []string{"", ">", "500", "> x", "=> 5", "~ 5", "> 5 6"} {
		if _, err := parseTest(text); err == nil {
			t.Errorf("%q was taken for a test", text)
		}
	}
}

// TestUnitsOfFeatures: a figure without its unit says little to an operator.
func TestUnitsOfFeatures(t *testing.T) {
	p := &telemetry.Profile{Signals: []telemetry.Signal{{Name: "t", Unit: "degC"}, {Name: "n"}}}
	for _, tt := range []struct {
		f    Feature
		want string
	}{
		{Feature{Signal: "t", Fn: "ewma"}, "degC"},
		{Feature{Signal: "n", Fn: "max"}, ""},
		{Feature{Signal: "t", Fn: "slope"}, "degC/s"},
		{Feature{Signal: "t", Fn: "slope", Per: time.Minute}, "degC/min"},
		{Feature{Signal: "t", Fn: "slope", Per: time.Hour}, "degC/h"},
		{Feature{Signal: "t", Fn: "slope", Per: 10 * time.Second}, "degC/10s"},
		{Feature{Signal: "n", Fn: "slope"}, "/s"},
		{Feature{Signal: "t", Fn: "frac_true"}, ""},
	} {
		if got := unitOf(&tt.f, p); got != tt.want {
			t.Errorf("%s of %s per %v: %q, want %q", tt.f.Fn, tt.f.Signal, tt.f.Per, got, tt.want)
		}
	}
}
