package chaos_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"andon.internal/lab/chaos"
	"andon.internal/lab/factory"
)

func TestPowerCutsAreDrawnBySeed(t *testing.T) {
	var early, late, atWrite int
	for seed := range uint64(50) {
		for _, name := range []string{"cell-01", "cell-02", factory.Postgres} {
			list := chaos.PlanCuts(seed, 3, name)
			if !reflect.DeepEqual(list, chaos.PlanCuts(seed, 3, name)) {
				t.Fatalf("seed %d: two plans for %s", seed, name)
			}
			if reflect.DeepEqual(list, chaos.PlanCuts(seed, 4, name)) || reflect.DeepEqual(list, chaos.PlanCuts(seed+1, 3, name)) {
				t.Errorf("seed %d: %s has the same cuts in another round, or with another seed", seed, name)
			}
			want := 20
			if name == factory.Postgres {
				want = 5
			}
			if len(list) != want {
				t.Errorf("%d cuts of %s, want %d", len(list), name, want)
			}
			for _, c := range list {
				if c.Gap() < 50*time.Millisecond || c.Gap() > 8*time.Second || c.Dark() > time.Second || c.AtWrite() && name == factory.Postgres {
					t.Errorf("seed %d: cut of %s: %+v", seed, name, c)
				}
				switch {
				case c.AtWrite():
					atWrite++
				case name == factory.Postgres:
				case c.Gap() < 600*time.Millisecond:
					early++
				default:
					late++
				}
			}
		}
	}
	if reflect.DeepEqual(chaos.PlanCuts(1, 1, "cell-01"), chaos.PlanCuts(1, 1, "cell-02")) {
		t.Error("both cells are cut at the same moments")
	}
	if n := 50 * 2 * 20; early < n/4 || late < n/4 || atWrite < n/6 {
		t.Errorf("of %d cuts of cells %d are within a start, %d behind it, %d in a write", n, early, late, atWrite)
	}
}

func TestPowerCutsAddUp(t *testing.T) {
	cuts := &chaos.Cuts{Cell: 40, Offline: 18, Writes: 9, Database: 5, Safe: 1000}
	rounds := []chaos.Round{
		{FS: "ext4", Write: "behind", Readings: 2000, Cuts: cuts, Recovery: 2 * time.Second},
		{FS: "ext4", Write: "behind", Readings: 1000, Cuts: cuts, Lost: 1, Recovery: 3 * time.Second},
		{FS: "xfs", Write: "ahead", Readings: 3000, Cuts: cuts, Doubled: 2},
		{FS: "ext4", Write: "behind", Readings: 9000, Faults: []string{"power-cell"}}, // no round of power cuts
	}
	var out bytes.Buffer
	if err := chaos.CutsTable(&out, rounds); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"ext4 behind 80 36 18 10 3000 2000 1 0 0 3.0 s",
		"xfs ahead 40 18 9 5 3000 1000 0 2 0 0.0 s",
		"all 120 54 27 15 6000 3000 1 2 0 3.0 s",
	}
	if len(got) == 0 || !slices.Equal(got[1:], want) {
		t.Errorf("table\n%s\nwant\n%s", out.String(), strings.Join(want, "\n"))
	}
}

// TestWatchCounts: a file that is made under one name, written, and given another is three changes.
func TestWatchCounts(t *testing.T) {
	dir := t.TempDir()
	seen := func(n int, within time.Duration, act func()) bool {
		t.Helper()
		w, err := chaos.Watch(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		act()
		seen, err := w.Await(t.Context(), n, within)
		if err != nil {
			t.Fatal(err)
		}
		return seen
	}
	name := filepath.Join(dir, "new.db")
	change := func() {
		if err := errors.Join(os.WriteFile(name+".tmp", []byte("x"), 0o600), os.Rename(name+".tmp", name)); err != nil {
			t.Fatal(err)
		}
	}
	const nothing = 50 * time.Millisecond
	if seen(1, nothing, func() {}) {
		t.Error("a change is seen where there was none")
	}
	if !seen(1, time.Minute, change) || !seen(3, time.Minute, change) {
		t.Error("the changes of a new file are not seen")
	}
	if seen(4, nothing, change) {
		t.Error("more changes are seen than there were")
	}
}

// TestACutControlIsNotCaughtByAnything: a plant that is slow to recover has lost nothing.
func TestACutControlIsNotCaughtByAnything(t *testing.T) {
	slow := &chaos.Round{Unexplained: 1, Findings: []string{"not recovered within 1m30s: cell-01 does not answer"}}
	gone := &chaos.Round{Lost: 3}
	for i := range chaos.CutControls {
		if c := &chaos.CutControls[i]; c.Caught(slow) || !c.Caught(gone) {
			t.Errorf("%s: caught by slowness: %t, by loss: %t", c.Name, c.Caught(slow), c.Caught(gone))
		}
	}
	dead := &chaos.Round{Unexplained: 1, Findings: []string{"postgres does not start after cut 2 of its power: exit status 1"}}
	if chaos.CutControls[0].Caught(dead) || !chaos.CutControls[1].Caught(dead) {
		t.Error("a dead database is that of another control")
	}
}
