package config_test

import (
	"errors"
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
