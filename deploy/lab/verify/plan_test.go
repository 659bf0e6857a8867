package verify_test

import (
	"reflect"
	"testing"

	"andon.internal/lab/factory"
	"andon.internal/lab/verify"
)

func TestPlan(t *testing.T) {
	overlaps := 0
	for seed := range uint64(500) {
		faults := verify.Plan(seed, "cell-01")
		if !reflect.DeepEqual(faults, verify.Plan(seed, "cell-01")) {
			t.Fatalf("seed %d: two plans", seed)
		}
		seen := map[string]int{}
		for i, f := range faults {
			seen[string(f.Kind)+" "+f.Target]++
			if f.At < 0.03 || f.At > 0.85 || f.Hold <= 0 {
				t.Errorf("seed %d: %+v", seed, f)
			}
			if i > 0 && f.At < faults[i-1].At {
				t.Errorf("seed %d: fault %d is due before the one before it", seed, i)
			}
			if f.After > 0 {
				overlaps++
				if i == 0 || f.After > faults[i-1].Hold {
					t.Errorf("seed %d: fault %d follows nothing that holds", seed, i)
				}
				for j := i - 1; j >= 0; j-- {
					if b := faults[j]; b.Target == f.Target && (b.Kind == verify.Kill) == (f.Kind == verify.Kill) {
						t.Errorf("seed %d: fault %d breaks what fault %d broke", seed, i, j)
					}
					if faults[j].After == 0 {
						break
					}
				}
			}
		}
		for _, want := range []string{
			"cut cell-01", "silent cell-01", "deaf cell-01",
			"kill cell-01", "kill " + factory.Broker, "kill " + factory.Collector, "kill " + factory.Postgres,
		} {
			if seen[want] == 0 {
				t.Errorf("seed %d: no %s in %v", seed, want, faults)
			}
		}
	}
	if overlaps < 100 {
		t.Errorf("only %d overlaps in 500 plans", overlaps)
	}
}
