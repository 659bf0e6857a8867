package replay_test

import (
	"testing"

	"andon.internal/agent/source"
	"andon.internal/agent/source/replay"
	"andon.internal/agent/source/replay/replaytest"
)

// FuzzFile reads any bytes as a file: it neither panics nor stalls, and a replay that
// is opened again behind any batch gives the readings that are left.
func FuzzFile(f *testing.F) {
	f.Add(true, []byte("1 1 "+numbers(24)+"\n2 1 "+numbers(24)+"  \r\n1 2 "+numbers(24)))
	f.Add(false, []byte("unit,cycle,torque_nm,running\na,1,1.5,true\nb,1,,\n\"a\",2,-1e3,0\n"))
	f.Add(false, []byte("unit,time,running\na,2026-01-02T03:04:05Z,1\na,1999-01-02T03:04:05.6+01:00,\n"))
	turbofan := replaytest.Turbofan(f)
	f.Fuzz(func(t *testing.T, cmapss bool, text []byte) {
		cfg := replay.Config{File: textFile(t, string(text)), Format: replay.CSV, Profile: pair, Start: start}
		if cmapss {
			cfg.Format, cfg.Profile = replay.CMAPSS, turbofan
		}
		s := newSource(t, cfg)
		if s.Open(t.Context(), source.Resume{}) != nil {
			return
		}
		defer s.Close()
		first, cursor := readAll(t, s, 1)
		rest, _ := readAll(t, s, 1<<20)
		again, _ := readAll(t, open(t, cfg, source.Resume{Cursor: cursor}), 1<<20)
		if got, want := count(again), count(rest); got != want {
			t.Fatalf("%d readings behind the first %d, want %d", got, len(first), want)
		}
	})
}

func count(events []event) (readings int) {
	for _, e := range events {
		if e.Kind == source.Reading {
			readings++
		}
	}
	return readings
}
