package chaos_test

import (
	"fmt"
	"testing"
	"time"

	"andon.internal/lab/chaos"
	"andon.internal/lab/checker"
	"andon.internal/shared/telemetry"
)

// TestBothWriteSettingsAreTried: cells that retain write ahead, so three seeds as make chaos
// has them must leave each cell its own setting, and retain somewhere.
func TestBothWriteSettingsAreTried(t *testing.T) {
	cells := map[string]map[string]bool{"file": {}, "dynos": {}}
	for seed := uint64(1); seed <= 3; seed++ {
		file, dynos, err := chaos.WriteSettings(chaos.Options{Seed: seed, Write: "both"})
		if err != nil {
			t.Fatal(err)
		}
		cells["file"][file], cells["dynos"][dynos] = true, true
	}
	for cell, seen := range cells {
		if !seen["behind"] || !seen["ahead"] {
			t.Errorf("the cell of the %s writes only %v", cell, seen)
		}
	}
	if !cells["file"]["retain"] {
		t.Error("no seed has databases that lose commits")
	}
}

// TestExcusesEnd: what a database that was put back and clones explain of readings that were
// there before, they do not of later ones.
func TestExcusesEnd(t *testing.T) {
	epoch := telemetry.Epoch{0: 1, 15: 9}
	line := fmt.Sprintf(`{"epoch":%q,"position":7,"row":0,"on_disk":true,"time":%q,"values":{}}`+"\n", epoch, time.Now().Format(time.RFC3339Nano))
	at := checker.Place{Epoch: epoch, Position: 7}
	for _, c := range []struct {
		name string
		then time.Duration // since now, of both
		want bool
	}{{"before", time.Minute, true}, {"behind", -time.Minute, false}} {
		r, err := chaos.NewExcused([]byte(line), time.Now().Add(c.then), time.Now().Add(c.then))
		if err != nil {
			t.Fatal(err)
		}
		for _, reason := range []string{"database", "crash"} {
			if got := r.MayLose(reason, at); got != c.want {
				t.Errorf("%s it: may be lost (%s): %t", c.name, reason, got)
			}
		}
		if got := r.Moved(at); got != c.want {
			t.Errorf("%s it: may have moved: %t", c.name, got)
		}
	}
}

// TestCrashTakesTheLastOnly: a crash explains what was in memory for a moment, and not what stayed
// there.
func TestCrashTakesTheLastOnly(t *testing.T) {
	line := fmt.Sprintf(`{"epoch":%q,"position":7,"row":0,"on_disk":false,"time":%q,"values":{}}`+"\n", telemetry.Epoch{0: 1}, time.Now().Add(-time.Hour).Format(time.RFC3339Nano))
	for _, c := range []struct {
		name         string
		ago, longest time.Duration
		want         int
	}{
		{"seen a moment ago", time.Second, 4 * time.Second, 0},
		{"seen long ago", 5 * time.Second, 4 * time.Second, 1},
		{"seen long ago, while the disk was ill", 5 * time.Second, 0, 0},
	} {
		if got, err := chaos.Declared([]byte(line), c.ago, c.longest); err != nil || got != c.want {
			t.Errorf("%s: %d declared safe, want %d; %v", c.name, got, c.want, err)
		}
	}
}
