package replay_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"andon.internal/agent/source"
	"andon.internal/agent/source/replay"
	"andon.internal/shared/telemetry"
)

func csvConfig(file string) replay.Config {
	return replay.Config{File: file, Format: replay.CSV, Profile: pair, Start: start}
}

func TestCSV(t *testing.T) {
	type want struct {
		story  string
		values string // of each reading
	}
	tests := map[string]struct {
		text string
		want want
	}{
		"cycles": {
			"unit,cycle,torque_nm,running\na,1,1.5,true\nb,1,2.5,false\na,2,3.5,1\n",
			want{"+a a@1 +b b@1 -b a@2 -a", "1.5 true|2.5 false|3.5 true"},
		},
		"columns in another order": {
			"running,unit,torque_nm,cycle\n0,a,1.5,1\n",
			want{"+a a@1 -a", "1.5 false"},
		},
		"a signal that is not in the file": {
			"unit,cycle,running\na,1,true\n",
			want{"+a a@1 -a", "missing true"},
		},
		"empty fields": {
			"unit,cycle,torque_nm,running\na,1,,true\na,2,1.5,\n",
			want{"+a a@1 a@2 -a", "missing true|1.5 missing"},
		},
		"byte order mark, quotes, blanks, CRLF": {
			"\xef\xbb\xbfunit, \"cycle\" ,torque_nm,running\r\n\"a\" , 1 ,\"1.5\", true\r\n",
			want{"+a a@1 -a", "1.5 true"},
		},
		"no end of the last line": {
			"unit,cycle,torque_nm\na,1,1.5\na,2,2.5",
			want{"+a a@1 a@2 -a", "1.5 missing|2.5 missing"},
		},
		"times": {
			"unit,time,torque_nm\na,2020-05-06T07:08:09.5Z,1\nb,2020-05-06T09:08:10+02:00,2\na,2020-05-06T07:09:09.5Z,3\n",
			want{"+a a@0 +b b@500m -b a@1m0 -a", "1 missing|2 missing|3 missing"},
		},
		"malformed lines": {
			"unit,cycle,torque_nm,running\na,1,x,true\na,2,1,maybe\na,3,1\n,4,1,true\na/b,5,1,true\na,0,1,true\n" +
				"a,7,\"1,true\na,8,\"1\"2,true\n\na,9,1e999,true\na,10,nan,true\na,11,4.5,true\n",
			want{"+a a@11 -a", "4.5 true"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			events, _ := readAll(t, open(t, csvConfig(textFile(t, tc.text)), source.Resume{}), 1000)
			var rows []string
			for _, e := range events {
				if e.Kind == source.Reading {
					rows = append(rows, e.values[0].String()+" "+e.values[1].String())
				}
			}
			got := want{strings.ReplaceAll(story(events), "500ms", "500m"), strings.Join(rows, "|")}
			if got != tc.want {
				t.Errorf("\n got %v\nwant %v", got, tc.want)
			}
		})
	}
}

// TestCSVOwnTimes checks that times in the file stay as they are without a start,
// and that loops go on behind them.
func TestCSVOwnTimes(t *testing.T) {
	file := textFile(t, "unit,time,torque_nm\na,2020-05-06T07:08:09Z,1\na,2020-05-06T07:08:19Z,2\n")
	cfg := csvConfig(file)
	cfg.Start, cfg.Loop, cfg.Period = time.Time{}, true, 5*time.Second
	events, cursor := readAll(t, open(t, cfg, source.Resume{}), 5)
	first := time.Date(2020, 5, 6, 7, 8, 9, 0, time.UTC).UnixNano()
	for i, want := range map[int]int64{1: 0, 2: 10e9, 5: 15e9, 6: 25e9} {
		if i >= len(events) {
			more, _ := readAll(t, open(t, cfg, source.Resume{Cursor: cursor}), 4)
			events = append(events, more...)
		}
		if got := events[i].Time - first; got != want {
			t.Errorf("event %d is %d ns after the first, want %d", i, got, want)
		}
	}
}

func TestCSVHeaderRefused(t *testing.T) {
	tests := map[string]struct{ header, want string }{
		"unknown column": {"unit,cycle,torque_nm,speed", `the column "speed" is none of unit, cycle, time, nor a signal of the profile pair; its signals are torque_nm, running`},
		"no unit":        {"cycle,torque_nm", "no column unit"},
		"no cycle":       {"unit,torque_nm", "one of the columns cycle and time"},
		"both":           {"unit,cycle,time,torque_nm", "one of the columns cycle and time"},
		"twice":          {"unit,cycle,torque_nm,torque_nm", `"torque_nm" stands twice`},
		"no signal":      {"unit,cycle", "names no signal"},
		"open quote":     {`unit,"cycle`, "a quote is not closed"},
		"empty":          {"", `the column "" is none of`},
		"no header":      {"1,1,1.5,true", `the column "1" is none of`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			file := textFile(t, tc.header+"\na,1,1.5,true\n")
			err := newSource(t, csvConfig(file)).Open(t.Context(), source.Resume{})
			if !errors.Is(err, source.ErrRefused) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), file+":1") {
				t.Errorf("got %v, want a refusal with %q", err, tc.want)
			}
		})
	}
}

// TestCSVTypes checks that a value is read in the type of its signal.
func TestCSVTypes(t *testing.T) {
	p := &telemetry.Profile{Name: "types", Version: 1, Signals: []telemetry.Signal{
		{Name: "d", Type: telemetry.Double},
		{Name: "r", Type: telemetry.Real},
		{Name: "i", Type: telemetry.Integer},
		{Name: "b", Type: telemetry.Boolean},
	}}
	cfg := csvConfig(textFile(t, "unit,cycle,d,r,i,b\na,1,0.1,0.1,-9223372036854775808,false\na,2,1,1e39,1,true\na,3,1,1,1.5,true\n"))
	cfg.Profile = p
	events, _ := readAll(t, open(t, cfg, source.Resume{}), 100)
	want := []telemetry.Value{
		telemetry.DoubleValue(0.1), telemetry.RealValue(0.1), telemetry.IntegerValue(-1 << 63), telemetry.BooleanValue(false),
	}
	if got := story(events); got != "+a a@1 -a" {
		t.Fatalf("got %s", got)
	}
	for i, v := range events[1].values {
		if v != want[i] {
			t.Errorf("%s is %v, want %v", p.Signals[i].Name, v, want[i])
		}
	}
}
