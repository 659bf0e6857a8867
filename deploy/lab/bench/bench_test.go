package bench_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"andon.internal/lab/bench"
)

func TestSpread(t *testing.T) {
	var d []time.Duration
	for i := 100; i >= 1; i-- {
		d = append(d, time.Duration(i)*time.Millisecond)
	}
	if s := bench.SpreadOf(d); s != (bench.Spread{100, 50, 99, 100}) {
		t.Errorf("of 1..100 ms: %+v", s)
	}
	if s := bench.SpreadOf([]time.Duration{time.Millisecond}); s != (bench.Spread{1, 1, 1, 1}) {
		t.Errorf("of one: %+v", s)
	}
	if s := bench.SpreadOf(nil); s != (bench.Spread{}) {
		t.Errorf("of none: %+v", s)
	}
}

func TestParseStat(t *testing.T) {
	u, err := bench.ParseStat([]byte("42 (a) b (c) S 7 42 42 0 -1 4194304 1 2 3 4 100 20 3 4 20 0 1 0 99 1 2 3"))
	if err != nil || u != (bench.Usage{Parent: 7, Own: 120, Ended: 7}) {
		t.Errorf("%+v, %v", u, err)
	}
	for _, bad := range []string{"", "42", "42 (x) S 7", "42 (x) S a b c d e f g h i j k l m n o p"} {
		if _, err := bench.ParseStat([]byte(bad)); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

// used is the CPU time of the test itself, as the kernel tells it otherwise.
func used(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestCPUSecondsGrow(t *testing.T) {
	from := used(t)
	before, err := bench.CPUSeconds(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for used(t)-from < 200*time.Millisecond {
	}
	after, err := bench.CPUSeconds(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// Two values in hundredths of a second may be off by two of them each.
	if took, want := after-before, (used(t) - from).Seconds(); took < 0.15 || took > want+0.05 {
		t.Errorf("%.3f s of work were counted as %.3f s", want, took)
	}
}

func TestVerdictOnAnAttack(t *testing.T) {
	good := bench.Attack{
		Name: "flood", Quiet: bench.Spread{N: 100, P99: 10}, Attacked: bench.Spread{N: 100, P99: 19}, Ratio: 1.9,
		Memory: 50, Rejoin: true, Counted: 1,
	}
	for name, c := range map[string]struct {
		change func(*bench.Attack)
		short  bool
		want   string // in the fault; "": none
	}{
		"good":             {func(*bench.Attack) {}, false, ""},
		"slow":             {func(a *bench.Attack) { a.Attacked.P99, a.Ratio = 21, 2.1 }, false, "p99"},
		"slow in short":    {func(a *bench.Attack) { a.Attacked.P99, a.Ratio = 21, 2.1 }, true, ""},
		"slow by little":   {func(a *bench.Attack) { a.Quiet.P99, a.Attacked.P99, a.Ratio = 1, 5.9, 5.9 }, false, ""},
		"nothing came":     {func(a *bench.Attack) { a.Attacked = bench.Spread{} }, false, "p99"},
		"large":            {func(a *bench.Attack) { a.Memory = 300 }, false, "300 MiB"},
		"large and filled": {func(a *bench.Attack) { a.Memory, a.Fills = 300, true }, false, ""},
		"larger than that": {func(a *bench.Attack) { a.Memory, a.Fills = 1300, true }, false, "1300 MiB"},
		"messages missing": {func(a *bench.Attack) { a.Missing = 1 }, true, "1 honest messages"},
		"a cell ended":     {func(a *bench.Attack) { a.Lost = "gone" }, true, "gone"},
		"nobody comes in":  {func(a *bench.Attack) { a.Rejoin = false }, true, "came in: false"},
		"not counted":      {func(a *bench.Attack) { a.Counted = 0 }, true, "rose by 0"},
	} {
		a := good
		c.change(&a)
		r := bench.AttackReport{Short: c.short, Attacks: []bench.Attack{good, a}}
		faults := strings.Join(r.Faults(), "\n")
		if (faults == "") != (c.want == "") || !strings.Contains(faults, c.want) {
			t.Errorf("%s: %q, want %q", name, faults, c.want)
		}
	}
}
