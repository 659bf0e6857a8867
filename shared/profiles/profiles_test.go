package profiles_test

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"andon.internal/shared/config"
	"andon.internal/shared/profiles"
	"andon.internal/shared/telemetry"
)

func TestBuiltin(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"dyno": "torque_nm speed_rpm winding_temp_c case_temp_c bus_voltage_v phase_current_a vibration_mm_s " +
			"hydraulic_pressure_psi coolant_flow_l_min efficiency_pct cycle_count running",
		"turbofan": "setting1 setting2 setting3 t2 t24 t30 t50 p2 p15 p30 nf nc epr ps30 phi nrf nrc bpr farb htbleed " +
			"nf_dmd pcnfr_dmd w31 w32",
	}
	list := profiles.Builtin()
	if len(list) != len(want) {
		t.Fatalf("%d profiles", len(list))
	}
	for _, p := range list {
		var names []string
		for _, s := range p.Signals {
			names = append(names, s.Name)
			if s.Description == "" {
				t.Errorf("%s.%s has no description", p.Name, s.Name)
			}
		}
		if got := strings.Join(names, " "); got != want[p.Name] {
			t.Errorf("%s has the signals %s", p.Name, got)
		}
		if err := p.Check(); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
	dyno := profiles.Find(list, "dyno")
	if s := dyno.Signals[dyno.Index("cycle_count")]; s.Type != telemetry.Integer {
		t.Errorf("cycle_count is %v", s.Type)
	}
	if s := dyno.Signals[dyno.Index("running")]; s.Type != telemetry.Boolean {
		t.Errorf("running is %v", s.Type)
	}
	if profiles.Find(list, "none") != nil {
		t.Error("found a profile that is not there")
	}
}

// The fingerprints are on the wire and in buffers: a changed one would make old
// records unreadable.
func TestFingerprintsNeverChange(t *testing.T) {
	t.Parallel()
	want := map[string]uint64{"dyno": 0x687be64f49ee85bd, "turbofan": 0x238f29b8371539d2}
	for _, p := range profiles.Builtin() {
		if p.Fingerprint() != want[p.Name] {
			t.Errorf("%s has the fingerprint %#x", p.Name, p.Fingerprint())
		}
	}
}

// An engine's first and last cycle, and a cycle at each of the five operating
// conditions that only FD002 and FD004 have.
func TestTurbofanTakesInPublishedData(t *testing.T) {
	t.Parallel()
	p := profiles.Find(profiles.Builtin(), "turbofan")
	f, err := os.Open("testdata/cmapss.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	for s := bufio.NewScanner(f); s.Scan(); lines++ {
		fields := strings.Fields(s.Text())
		if len(fields) != len(p.Signals)+2 {
			t.Fatalf("line %d has %d fields", lines+1, len(fields))
		}
		for i := range p.Signals {
			v, err := strconv.ParseFloat(fields[i+2], 64)
			if err != nil {
				t.Fatal(err)
			}
			if s := &p.Signals[i]; !s.Plausible(telemetry.DoubleValue(v)) {
				t.Errorf("line %d: %s = %v is called implausible", lines+1, s.Name, v)
			}
		}
	}
	if lines < 7 {
		t.Errorf("%d lines", lines)
	}
}

const press = `
profile: press
version: 3
description: Stamping press
signals:
- name: force_kn
  unit: kN
  min: 0
  max: 4000
- name: strokes
  type: integer
- {name: guard_closed, type: boolean, description: Light curtain}
- {name: ram_mm, type: real, unit: mm, max: 900.5}
`

func TestDecode(t *testing.T) {
	t.Parallel()
	p, err := profiles.Decode("press.yaml", []byte(press))
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "press" || p.Version != 3 || p.Description != "Stamping press" || len(p.Signals) != 4 {
		t.Fatalf("%+v", p)
	}
	want := []telemetry.Type{telemetry.Double, telemetry.Integer, telemetry.Boolean, telemetry.Real}
	for i, s := range p.Signals {
		if s.Type != want[i] {
			t.Errorf("%s is %v, want %v", s.Name, s.Type, want[i])
		}
	}
	if s := p.Signals[0]; *s.Min != 0 || *s.Max != 4000 || s.Unit != "kN" {
		t.Errorf("%+v", s)
	}
	if s := p.Signals[3]; s.Min != nil || *s.Max != 900.5 {
		t.Errorf("%+v", s)
	}
}

func TestFaultsAreAtTheirPlaces(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, yaml, want string }{
		{"empty", "", "p.yaml:1:1: profile: is required\np.yaml:1:1: version: is required\np.yaml:1:1: signals: is required"},
		{"signals", `profile: press
version: 1
signals:
- name: Force
- name: position
- name: a
  min: 2
  max: 1
- name: b
  type: text
- name: a
- unit: kN
`, `p.yaml:4:3: signals[0]: name "Force" must match [a-z][a-z0-9_]{0,47}: it becomes a column
p.yaml:5:3: signals[1]: name "position" is a column that every reading has; choose another
p.yaml:6:3: signals[2]: min 2 must be below max 1
p.yaml:10:9: signals[3].type: signal type "text" is none of double, real, integer, boolean
p.yaml:11:9: signals[4].name: "a" is also the name of signals[2]
p.yaml:12:3: signals[5].name: is required`},
		{"none", "profile: press\nversion: 1\nsignals: []\n", "p.yaml:1:1: a profile has 1 to 512 signals, this one has 0"},
		{"name", "profile: Press\nversion: 0\nsignals: [{name: a}]\n", `p.yaml:1:1: profile name "Press" must match [a-z][a-z0-9_]{0,31}: it becomes part of table names
p.yaml:1:1: profile version 0 must be 1 or more`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := profiles.Decode("p.yaml", []byte(tt.yaml))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got\n%v\nwant\n%s", err, tt.want)
			}
		})
	}
}

func TestAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	other := strings.Replace(press, "profile: press", "profile: other", 1)
	folder := filepath.Dir(write("more/a.yaml", other))
	write("more/notes.txt", "not a profile")
	write("more/.hidden.yaml", "not a profile")
	file := write("press.yaml", press)

	list, err := profiles.All([]config.Path{config.Path(file), config.Path(folder)})
	if err != nil {
		t.Fatal(err)
	}
	if names := profiles.Names(list); names != "dyno, turbofan, press, other" {
		t.Errorf("have %s", names)
	}

	write("more/b.yml", press)
	bad := write("bad.yaml", "profile: 1\n")
	taken := write("taken.yaml", strings.Replace(press, "profile: press", "profile: dyno", 1))
	_, err = profiles.All([]string{file, folder, bad, taken, filepath.Join(dir, "none")})
	for _, want := range []string{
		`profile "press" of ` + folder + ` is there already (` + file + `)`,
		"bad.yaml:1:1: version: is required",
		`profile "dyno" of ` + taken + ` is there already (built in)`,
		"none: no such file",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
	var usage interface{ Usage() bool }
	if !errors.As(err, &usage) || !usage.Usage() {
		t.Error("the error is not marked as the operator's")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(press))
	f.Add([]byte("profile: a\nversion: 1\nsignals: [{name: a, min: 1e400}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := profiles.Decode("p.yaml", data)
		if err == nil && p.Check() != nil {
			t.Errorf("a profile with faults was read: %v", p.Check())
		}
	})
}
