package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"andon.internal/shared/config"
)

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
			`f.yaml:7:3: sources[2]: must be a mapping of keys to values, not a single value`,
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
			"f.yaml:1:8: group: tags are not used here; write the plain value, in quotes where it begins with !",
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
