package replay_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"andon.internal/agent/source"
	"andon.internal/agent/source/replay"
	"andon.internal/agent/source/replay/replaytest"
	"andon.internal/agent/source/sourcetest"
)

// interleaved makes a CSV in which the units take turns.
func interleaved(units, cycles int) string {
	var b strings.Builder
	b.WriteString("unit,cycle,torque_nm,running\n")
	for c := 1; c <= cycles; c++ {
		for u := 1; u <= units; u++ {
			fmt.Fprintf(&b, "act-%d,%d,%d.25,%t\n", u, c, u*c, c%2 == 0)
		}
	}
	return b.String()
}

func TestConformance(t *testing.T) {
	engines := cmapssFile(t, replaytest.Generate(7, 9, 600, 900))
	small := cmapssFile(t, replaytest.Generate(8, 5, 10, 20))
	table := interleaved(7, 300)
	csv := textFile(t, table)
	tests := map[string]struct {
		cfg    replay.Config
		driver sourcetest.Driver
	}{
		"cmapss as fast as can be": {
			replay.Config{File: engines, UnitPrefix: "engine-", Start: start},
			sourcetest.Driver{Ends: true},
		},
		"cmapss in a loop": {
			replay.Config{File: engines, UnitPrefix: "engine-", Start: start, Loop: true},
			sourcetest.Driver{},
		},
		"cmapss paced": {
			replay.Config{File: small, UnitPrefix: "engine-", Start: start, Speed: 50},
			sourcetest.Driver{Ends: true},
		},
		"cmapss paced in a loop": {
			replay.Config{File: small, Start: start, Speed: 1, Period: 2 * time.Millisecond, Loop: true},
			sourcetest.Driver{},
		},
		"csv": {
			replay.Config{File: csv, Format: replay.CSV, Profile: pair, Start: start},
			sourcetest.Driver{Ends: true, Break: func(tb testing.TB, _ source.Source) func() {
				if err := os.Truncate(csv, 40); err != nil {
					tb.Fatal(err)
				}
				return func() {
					if err := os.WriteFile(csv, []byte(table), 0o600); err != nil {
						tb.Fatal(err)
					}
				}
			}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.driver.Rereadable = true
			tc.driver.New = func(tb testing.TB) source.Source { return newSource(tb, tc.cfg) }
			sourcetest.Run(t, tc.driver)
		})
	}
}
