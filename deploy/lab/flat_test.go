package lab_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"andon.internal/lab/bench"
	"andon.internal/lab/cable"
	"andon.internal/lab/factory"
)

// What an agent may have more of at the end than in its first part: what is under way at
// the moment of a look, and no more.
const (
	spareGoroutines  = 6
	spareDescriptors = 4
	spareMB          = 10 // of anonymous memory
)

// TestFlat: with units that come and go, and a cable that is cut and mended all the time,
// an agent has as many goroutines and descriptors at the end as at the beginning, and as much
// memory. ANDON_FLAT_FOR says how long it has 200 units at 10 Hz (make test-deep: an hour);
// without it, it has 20 for half a minute.
func TestFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("looks at an agent for half a minute")
	}
	t.Parallel()
	// Programmes are short, so that units are born and die all the time.
	lasts, dynos := 30*time.Second, factory.Dynos{Stations: 20, Rate: 10, Programme: 10 * time.Second, Idle: time.Second}
	if text := os.Getenv("ANDON_FLAT_FOR"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil || lasts < 10*time.Second {
			t.Fatalf("ANDON_FLAT_FOR is %q, not a duration of 10s or more", text)
		}
		dynos.Stations, dynos.Programme = 200, time.Minute
	}
	f, err := factory.Start(t.Context(), factory.Options{Dir: place(t), Bin: bin, Cells: []factory.Cell{{
		Name: "cell-01", Dynos: dynos,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close(false) })
	pid := f.PID("cell-01")
	for n := 10; n < dynos.Stations; n += 10 { // they begin one after the other
		eventually(t, fmt.Sprintf("%d units are on test", n), func() bool { return count(t, f, pid).units >= n }, func() any { return count(t, f, pid) })
	}
	linked := func() (now counted) {
		eventually(t, "the link is up", func() bool { now = count(t, f, pid); return now.linked }, func() any { return now })
		return now
	}
	// Of the first and the last third, and with the link up at both ends: on a busy machine it may
	// come too late for a cable that is mended for two seconds.
	first, last := linked(), counted{}
	begun, taken := time.Now(), first.readings
	for n := 0; time.Since(begun) < lasts; n++ {
		do := f.Heal
		if n%2 == 0 {
			do = func(name string) error { return f.Cut(name, cable.Cut) }
		}
		if err := do("cell-01"); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			now := count(t, f, pid)
			switch at := time.Since(begun); {
			case at < lasts/3:
				first = first.most(now)
			case at > lasts*2/3:
				if !now.within(first) && last.within(first) {
					t.Logf("the first look beyond the bounds, after %v: %+v; at first %+v; %s", at.Round(time.Second), now, first, memoryOf(t, f))
				}
				last = last.most(now)
			}
		}
	}
	if err := f.Heal("cell-01"); err != nil {
		t.Fatal(err)
	}
	last = last.most(linked())
	if f.PID("cell-01") != pid {
		t.Fatal("the agent did not run through")
	}
	t.Logf("in %v, with %.0f readings a second: at first %+v, at last %+v", lasts, float64(last.readings-taken)/time.Since(begun).Seconds(), first, last)
	if first.goroutines < 5 || first.descriptors < 5 || first.mb < 1 || last.goroutines == 0 || last.units < dynos.Stations/2 {
		t.Fatalf("not seen: %+v, %+v", first, last)
	}
	if !last.within(first) {
		t.Errorf("the agent has more and more: at first %+v, at last %+v", first, last)
	}
}

type counted struct {
	units, readings, goroutines, descriptors int
	mb                                       float64 // anonymous
	linked                                   bool
}

func (c counted) most(o counted) counted {
	return counted{
		max(c.units, o.units), max(c.readings, o.readings), max(c.goroutines, o.goroutines),
		max(c.descriptors, o.descriptors), max(c.mb, o.mb), c.linked || o.linked,
	}
}

// within reports whether there is no more than there was at first, but for what is under way.
func (c counted) within(first counted) bool {
	return c.goroutines <= first.goroutines+spareGoroutines && c.descriptors <= first.descriptors+spareDescriptors && c.mb <= first.mb+spareMB
}

// memoryOf says what the agent's memory is of, for whoever looks for what has grown.
func memoryOf(t *testing.T, f *factory.Factory) string {
	t.Helper()
	m, err := f.Metrics(t.Context(), "cell-01")
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, name := range []string{
		"go_memstats_heap_inuse_bytes", "go_memstats_heap_alloc_bytes", "go_memstats_heap_idle_bytes", "go_memstats_heap_released_bytes",
		"go_memstats_stack_inuse_bytes", "andon_buffer_rows", "andon_buffer_files", "andon_simulated_missed_total",
	} {
		fmt.Fprintf(&b, "%s %.0f, ", name, m[name])
	}
	return b.String()
}

// count asks the agent and the kernel.
func count(t *testing.T, f *factory.Factory, pid int) counted {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	m, err := f.Metrics(ctx, "cell-01")
	if err != nil {
		t.Fatal(err)
	}
	p, err := bench.FootprintOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	return counted{
		units: int(m["andon_sampler_units"]), readings: int(m["andon_sampler_readings_total"]),
		goroutines: int(m["go_goroutines"]), descriptors: p.Open, mb: p.AnonMB, linked: m["andon_uplink_connected"] == 1,
	}
}
