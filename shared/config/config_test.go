package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon.internal/shared/config"
)

// level is a value with its own text form.
type level int

func (l *level) UnmarshalText(text []byte) error {
	switch string(text) {
	case "low":
		*l = 1
	case "high":
		*l = 2
	default:
		return errors.New(`must be "low" or "high"`)
	}
	return nil
}

// port is a plain value with a check.
type port int

func (p *port) Check() error {
	if *p < 0 || *p > 65535 {
		return errors.New("must be 0 to 65535")
	}
	return nil
}

type buffer struct {
	Linger time.Duration `yaml:"linger"`
	Quota  config.Size   `yaml:"quota"`
	Low    config.Size   `yaml:"low"`
}

func (b *buffer) Check() error {
	var errs []error
	if b.Linger < 0 {
		errs = append(errs, config.At("linger", errors.New("must not be negative")))
	}
	if b.Low > b.Quota {
		errs = append(errs, errors.New("low must not be above quota"))
	}
	return errors.Join(errs...)
}

type source struct {
	Name   string         `yaml:"name,required"`
	Replay *replay        `yaml:"replay"`
	Labels map[string]int `yaml:"labels"`
}

type replay struct {
	File  config.Path `yaml:"file,required"`
	Start time.Time   `yaml:"start"`
	Speed float64     `yaml:"speed"`
}

type file struct {
	Group    string   `yaml:"group,required"`
	Node     string   `yaml:"node,required"`
	Port     port     `yaml:"port"`
	Level    level    `yaml:"level"`
	Enabled  bool     `yaml:"enabled"`
	Count    uint8    `yaml:"count"`
	Buffer   buffer   `yaml:"buffer"`
	Profiles []string `yaml:"profiles"`
	Sources  []source `yaml:"sources"`
	Internal string   // not a key
}

func defaults() file {
	return file{
		Count: 7, Profiles: []string{"dyno"},
		Buffer: buffer{Linger: 100 * time.Millisecond, Quota: 64 << 20},
	}
}

func TestDecodeReadsEveryType(t *testing.T) {
	t.Parallel()
	got := defaults()
	err := config.Decode("/etc/andon/agent.yaml", []byte(`
group: austin-line1
node: 07          # a text, although it looks like a number
port: 1883
level: high
enabled: true
buffer: {linger: 1.5s, quota: 1GiB}
sources:
- name: line1
  replay: &r
    file: data/train.txt
    start: 2026-01-02T03:04:05Z
    speed: 2.5
  labels: {a: 1, b: 2}
- name: "line 2"
  replay: *r
`), &got)
	if err != nil {
		t.Fatal(err)
	}
	if got.Group != "austin-line1" || got.Node != "07" || got.Port != 1883 || got.Level != 2 || !got.Enabled {
		t.Errorf("scalars: %+v", got)
	}
	if got.Count != 7 || len(got.Profiles) != 1 {
		t.Errorf("defaults are gone: %+v", got)
	}
	if got.Buffer.Linger != 1500*time.Millisecond || got.Buffer.Quota != 1<<30 {
		t.Errorf("buffer: %+v", got.Buffer)
	}
	if len(got.Sources) != 2 || got.Sources[1].Name != "line 2" || got.Sources[0].Labels["b"] != 2 {
		t.Fatalf("sources: %+v", got.Sources)
	}
	for _, s := range got.Sources {
		if s.Replay.File != "/etc/andon/data/train.txt" || s.Replay.Speed != 2.5 ||
			!s.Replay.Start.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
			t.Errorf("replay: %+v", s.Replay)
		}
	}
}

func TestDecodeNullAndEmptyKeepOrClear(t *testing.T) {
	t.Parallel()
	got := defaults()
	if err := config.Decode("f", []byte("group: a\nnode: b\nbuffer:\nprofiles:\nsources: []\n"), &got); err != nil {
		t.Fatal(err)
	}
	if got.Buffer.Quota != 64<<20 {
		t.Error("an empty mapping dropped the defaults")
	}
	if got.Profiles != nil {
		t.Error("an empty list kept the default")
	}
}

func TestDecodeReportsEveryFaultAtItsPlace(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, yaml string
		want       []string // the whole error, line by line
	}{
		{"empty file", "", []string{
			"f.yaml:1:1: group: is required",
			"f.yaml:1:1: node: is required",
		}},
		{"unknown key near a known one", "group: a\nnode: b\nsoruces: []\n", []string{
			"f.yaml:3:1: soruces: unknown key; did you mean sources?",
		}},
		{"unknown key near none", "group: a\nnode: b\nbuffer: {zzzzzz: 1}\n", []string{
			"f.yaml:3:10: buffer.zzzzzz: unknown key; known here: linger, quota, low",
		}},
		{"many at once", "group: [a]\nport: many\nlevel: medium\nenabled: yes\ncount: 300\nbuffer: {linger: 5, quota: 5MB, low: '7'}\n", []string{
			"f.yaml:1:1: node: is required",
			"f.yaml:1:8: group: must be a text, not a list",
			`f.yaml:2:7: port: must be a whole number, not "many"`,
			`f.yaml:3:8: level: must be "low" or "high"`,
			`f.yaml:4:10: enabled: must be true or false, not "yes"`,
			`f.yaml:5:8: count: does not fit 8 bits`,
			`f.yaml:6:18: buffer.linger: must be a duration such as 5s or 100ms, not "5"`,
			`f.yaml:6:28: buffer.quota: "5MB" is not a size; write bytes, or KiB, MiB, GiB, TiB as in 64MiB`,
		}},
		{"quoted number", "group: a\nnode: b\ncount: '7'\n", []string{
			`f.yaml:3:8: count: must be a whole number of 0 or more, not the text "7"`,
		}},
		{"nested lists", "group: a\nnode: b\nsources:\n- name: x\n  replay: {speed: fast}\n- {}\n- 5\n", []string{
			"f.yaml:5:11: sources[0].replay.file: is required",
			`f.yaml:5:19: sources[0].replay.speed: must be a number, not "fast"`,
			"f.yaml:6:3: sources[1].name: is required",
			`f.yaml:7:3: sources[2]: must be a mapping of keys to values, not "5"`,
		}},
		{"not finite", "group: a\nnode: b\nsources: [{name: x, replay: {file: f, speed: .nan}}]\n", []string{
			`f.yaml:3:46: sources[0].replay.speed: must be a number, not ".nan"`,
		}},
		{"check of a scalar", "group: a\nnode: b\nport: 70000\n", []string{
			"f.yaml:3:7: port: must be 0 to 65535",
		}},
		{"check of a struct, at a key and as a whole", "group: a\nnode: b\nbuffer:\n  linger: -1s\n  low: 1TiB\n", []string{
			"f.yaml:4:3: buffer: low must not be above quota",
			"f.yaml:4:11: buffer.linger: must not be negative",
		}},
		{"check of half-read values is not reported", "group: a\nnode: b\nbuffer: {quota: none, low: 1TiB, linger: -1s}\n", []string{
			`f.yaml:3:17: buffer.quota: "none" is not a size; write bytes, or KiB, MiB, GiB, TiB as in 64MiB`,
			"f.yaml:3:42: buffer.linger: must not be negative",
		}},
		{"empty value", "group:\nnode: b\n", []string{
			"f.yaml:1:7: group: has no value; give it a text or take the line out",
		}},
		{"key twice", "group: a\nnode: b\ngroup: c\n", []string{
			"f.yaml:3:1: group: is already given in line 1",
		}},
		{"tag", "group: !!binary aGk=\nnode: b\n", []string{
			"f.yaml:1:8: group: tags such as !!binary are not used here; write the plain value",
		}},
		{"merge key", "group: a\nnode: b\nbuffer: &b {}\nsources: [{name: x, replay: {<<: *b, file: f}}]\n", []string{
			"f.yaml:4:30: sources[0].replay: merge keys (<<) are not used here; write the keys out",
		}},
		{"alias to itself", "group: a\nnode: b\nsources: &s [*s]\n", nil},
		{"two documents", "group: a\nnode: b\n---\ngroup: c\n", []string{
			"f.yaml:3: a second document begins here; one file holds one document",
		}},
		{"a list", "- a\n", []string{"f.yaml:1:1: must be a mapping of keys to values, not a list"}},
		{"tab", "group: a\n\tnode: b\n", nil},
		{"bad yaml", "group: [a\nnode: b\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := defaults()
			err := config.Decode("f.yaml", []byte(tt.yaml), &f)
			var all *config.Error
			if !errors.As(err, &all) || len(all.Faults) == 0 || !all.Usage() {
				t.Fatalf("error is %v, not a *config.Error", err)
			}
			if tt.want != nil && err.Error() != strings.Join(tt.want, "\n") {
				t.Errorf("got\n%v\nwant\n%s", err, strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestHostileFilesAreBounded(t *testing.T) {
	t.Parallel()
	type tree struct {
		Children []tree `yaml:"children"`
		C        []tree `yaml:"c"`
	}
	// Each level names the one before nine times: 9^12 values from 1 KiB.
	bomb := "children:\n- c: &a0 [{}]\n"
	for i := range 12 {
		bomb += fmt.Sprintf("- c: &a%d [%s{}]\n", i+1, strings.Repeat(fmt.Sprintf("{c: *a%d}, ", i), 9))
	}
	tests := []struct{ name, yaml, want string }{
		{"aliases", bomb, "unfolds to more than"},
		{"depth", strings.Repeat("{c: [", 100) + strings.Repeat("]}", 100), "nested deeper than"},
		{"size", "# " + strings.Repeat("x", config.MaxFile), "more than 1048576 bytes"},
		{"key", strings.Repeat("k", 1000) + ": 1", "at most 128 bytes"},
		{"faults", strings.Repeat("c:\n", 5000), "and 4899 more"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			err := config.Decode("f.yaml", []byte(tt.yaml), &tree{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %.300v does not say %q", err, tt.want)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestDecodeWantsAStruct(t *testing.T) {
	t.Parallel()
	var n int
	for _, into := range []any{nil, file{}, &n, (*file)(nil)} {
		if err := config.Decode("f", nil, into); err == nil {
			t.Errorf("%T: no error", into)
		}
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(path, []byte("group: a\nnode: b\nsources: [{name: x, replay: {file: x.txt}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var f file
	if err := config.Load(path, &f); err != nil {
		t.Fatal(err)
	}
	if want := config.Path(filepath.Join(dir, "x.txt")); f.Sources[0].Replay.File != want {
		t.Errorf("path %q, want %q", f.Sources[0].Replay.File, want)
	}
	err := config.Load(filepath.Join(dir, "none.yaml"), &f)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("missing file: %v", err)
	}
	if err := config.Load(dir, &f); err == nil {
		t.Error("a folder was read")
	}
}

func TestReadSecret(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	for content, want := range map[string]string{"s3cret\n": "s3cret", "a b\r\n": "a b", " x": " x", "\n": "", "": ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := config.ReadSecret(path)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q gives %q, %v", content, got, err)
		}
	}
	if _, err := config.ReadSecret(path + "x"); err == nil {
		t.Error("a missing secret was read")
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want config.Size
		back string
	}{
		{"0", 0, "0B"},
		{"4096", 4096, "4KiB"},
		{"1500B", 1500, "1500B"},
		{"512KiB", 512 << 10, "512KiB"},
		{"64 MiB", 64 << 20, "64MiB"},
		{"1024MiB", 1 << 30, "1GiB"},
		{"8388607TiB", 8388607 << 40, "8388607TiB"},
	}
	for _, tt := range tests {
		got, err := config.ParseSize(tt.text)
		if err != nil || got != tt.want || got.String() != tt.back {
			t.Errorf("%q gives %d %v, %v", tt.text, got, got, err)
		}
	}
	for _, bad := range []string{"", "x", "-1", "1.5GiB", "64MB", "8388608TiB", "9223372036854775808", "MiB", "1KiBKiB"} {
		if got, err := config.ParseSize(bad); err == nil {
			t.Errorf("%q gives %d", bad, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("group: a\nnode: b\nbuffer: {linger: 5s}\n"))
	f.Add([]byte("sources: &s [*s]\n"))
	f.Add([]byte("sources: [{name: x, replay: {file: f, start: 2026-01-02T03:04:05Z}, labels: {a: 1}}]\n"))
	f.Add([]byte("? [a]\n: b\n---\n"))
	f.Add([]byte("!!set {a, b}"))
	f.Add([]byte("<<: *x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		into := defaults()
		err := config.Decode("f.yaml", data, &into)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		if into.Group == "" && into.Node == "" && !strings.Contains(string(data), "group") {
			t.Error("required keys were not missed")
		}
	})
}
