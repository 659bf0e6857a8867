package lab_test

import (
	"os"
	"path/filepath"
	"testing"

	"andon.internal/lab/chaos"
)

// TestPowerCuts is a round of power cuts. `make power-cuts` does more.
func TestPowerCuts(t *testing.T) {
	if os.Getenv("ANDON_LONG") == "" {
		t.Skip("takes more than a minute; make test-deep runs it")
	}
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: it makes network namespaces and loop devices")
	}
	dir := place(t)
	file := filepath.Join(place(t), "rounds.jsonl")
	out, err := lab(t, dir, "chaos", "--power-cuts", "--seed", "3", "--rounds", "1", "--resume", file)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rounds, err := chaos.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(rounds) != 1 || !rounds[0].OK() || rounds[0].Cuts == nil {
		t.Fatalf("rounds %+v\n%s", rounds, out)
	}
	c := rounds[0].Cuts
	if c.Cell != 40 || c.Database != 5 || c.Offline == 0 || c.Offline == c.Cell || c.Writes == 0 || c.Safe < 100 {
		t.Errorf("cuts %+v\n%s", c, out)
	}
	expectNothingLeft(t, dir)
}
