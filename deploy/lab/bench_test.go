package lab_test

import (
	"encoding/json"
	"testing"

	"andon.internal/lab/bench"
)

// The short form of the benchmark of alarms sees every fault that it injects, at rest
// and in a burst. How fast is for make bench to say.
func TestBenchAlarms(t *testing.T) {
	if testing.Short() {
		t.Skip("breaks machines for a minute")
	}
	t.Parallel()
	dir := place(t)
	var r bench.AlarmReport
	if err := json.Unmarshal([]byte(mustLab(t, dir, "bench", "alarms", "--short", "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Loads) != 3 || r.Loads[0].Burst || r.Loads[1].Burst || !r.Loads[2].Burst || r.Machine.PostgreSQL == "" {
		t.Fatalf("%+v", r)
	}
	for i, faults := range []int{24, 20, 20} {
		l := &r.Loads[i]
		if l.Faults != faults || len(l.Missed) > 0 || l.Total.N != faults || l.Received.N != faults || l.Shown.N != faults || l.Spread <= 0 {
			t.Errorf("%+v", l)
		}
	}
	expectNothingLeft(t, dir)
}

// The short form of the benchmark of a backlog: it is there, comes home, and fresh readings
// were taken meanwhile. How fast is for make bench to say.
func TestBenchDrain(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory")
	}
	t.Parallel()
	dir := place(t)
	var r bench.DrainReport
	if err := json.Unmarshal([]byte(mustLab(t, dir, "bench", "drain", "--short", "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if r.Rows != 50_000 || r.Seconds <= 0 || r.Times <= 0 || r.Draining.Committed.N == 0 || r.Rest.Received.N == 0 || r.Machine.PostgreSQL == "" {
		t.Errorf("%+v", r)
	}
	expectNothingLeft(t, dir)
}

// The short form of the benchmark of attacks: honest cells lose nothing, and what there
// was of it is counted, on the real binary. The broker's own tests make all attacks; how
// slow honest cells become is for make bench and make test-deep to say.
func TestBenchAttacks(t *testing.T) {
	if testing.Short() {
		t.Skip("attacks for some seconds")
	}
	t.Parallel()
	dir := place(t)
	var r bench.AttackReport
	out := mustLab(t, dir, "bench", "attacks", "--short", "--json", "--only", "topic flood", "--only", "slow ClientHello", "--only", "malformed packets")
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Attacks) != 5 || r.Attacks[0].TLS || !r.Attacks[4].TLS || r.Machine.Cores == 0 {
		t.Fatalf("%+v", r)
	}
	for i := range r.Attacks {
		a := &r.Attacks[i]
		if !a.Stood() || a.Quiet.N == 0 || a.Attacked.N == 0 || a.Memory < 5 {
			t.Errorf("%+v", a)
		}
	}
	expectNothingLeft(t, dir)
}
