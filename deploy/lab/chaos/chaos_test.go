package chaos_test

import (
	"bytes"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"andon.internal/lab/chaos"
)

func TestPlan(t *testing.T) {
	overlaps := 0
	const decks = 5 // a round takes five faults, whatever their number is
	for seed := range uint64(50) {
		seen := map[string]int{}
		for round := 1; round <= len(chaos.Faults); round++ {
			list := chaos.Plan(seed, round, chaos.Faults, 0)
			if !reflect.DeepEqual(list, chaos.Plan(seed, round, chaos.Faults, 0)) {
				t.Fatalf("seed %d round %d: two plans", seed, round)
			}
			for i, s := range list {
				seen[s.Fault.Name]++
				if s.Hold <= 0 || s.At < 0 || !slices.Contains(s.Fault.Targets, s.Target) {
					t.Errorf("seed %d round %d: %s of %s at %v for %v", seed, round, s.Fault.Name, s.Target, s.At, s.Hold)
				}
				for _, b := range list[:i] {
					if s.At >= b.At+b.Hold {
						continue
					}
					overlaps++
					for _, thing := range b.Things() {
						if slices.Contains(s.Things(), thing) {
							t.Errorf("seed %d round %d: %s breaks %s while %s does", seed, round, s.Fault.Name, thing, b.Fault.Name)
						}
					}
				}
			}
		}
		for _, f := range chaos.Faults {
			if seen[f.Name] != decks {
				t.Errorf("seed %d: %s came %d times in %d decks", seed, f.Name, seen[f.Name], decks)
			}
		}
	}
	if overlaps < 200 {
		t.Errorf("only %d overlaps", overlaps)
	}
}

func TestEveryFaultSaysWhatIsExpected(t *testing.T) {
	names := map[string]bool{}
	for _, f := range chaos.Faults {
		if names[f.Name] || f.Expected == "" || len(f.Targets) == 0 || len(f.Needs) == 0 || f.Least <= 0 || f.Most < f.Least {
			t.Errorf("fault %+v", f)
		}
		names[f.Name] = true
	}
	for _, c := range chaos.Controls() {
		if len(c.Script) == 0 {
			t.Errorf("control %s breaks nothing", c.Name)
		}
	}
}

func TestRoundsAddUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rounds.jsonl")
	if rounds, err := chaos.Load(path); err != nil || len(rounds) != 0 {
		t.Fatalf("without a file: %v, %v", rounds, err)
	}
	for n := 1; n <= 3; n++ {
		r := chaos.Round{Seed: 7, Round: n, Faults: []string{"kill-agent"}, Readings: 100, Lost: n / 3, Recovery: time.Duration(n) * time.Second}
		if err := chaos.Save(path, &r); err != nil {
			t.Fatal(err)
		}
	}
	rounds, err := chaos.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := chaos.Next(rounds, 7), chaos.Next(rounds, 8); a != 4 || b != 1 {
		t.Errorf("seed 7 goes on with round %d, seed 8 with %d; want 4 and 1", a, b)
	}
	var out bytes.Buffer
	if err := chaos.Table(&out, rounds); err != nil {
		t.Fatal(err)
	}
	want := []string{"kill-agent", "3", "300", "1", "0", "0", "3.0", "s"}
	if got := strings.Fields(strings.Split(out.String(), "\n")[1]); !slices.Equal(got, want) {
		t.Errorf("row %v, want %v", got, want)
	}
}
