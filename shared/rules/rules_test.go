package rules_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"andon.internal/shared/profiles"
	"andon.internal/shared/rules"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

func names(r *sentinel.Rules) string {
	var list []string
	for _, rule := range r.List() {
		list = append(list, rule.Alarm+"/"+rule.Priority.String())
	}
	return strings.Join(list, " ")
}

func TestShippedRulesLoad(t *testing.T) {
	r := rules.Shipped()
	const want = "thermal-runaway/critical sustained-overpressure/high node-offline/high data-silence/high disk-fault/high clock-skew/medium"
	if got := names(r); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, rule := range r.List() {
		if rule.Consequence == "" || rule.Response == "" {
			t.Errorf("%s does not say what follows and what to do", rule.Alarm)
		}
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const hot = `apiVersion: andon/v1
rules:
- alarm: ALARM
  profile: dyno
  features: {t: {signal: winding_temp_c, fn: last}}
  when: t > 90
  priority: low
`

func TestOperatorsRules(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b.yaml", strings.ReplaceAll(hot, "ALARM", "warm"))
	write(t, dir, "a.yml", strings.ReplaceAll(hot, "ALARM", "thermal-runaway"))
	write(t, dir, "notes.txt", "not YAML")
	list := profiles.Builtin()
	r, err := rules.All([]string{dir}, list)
	if err != nil {
		t.Fatal(err)
	}
	const want = "thermal-runaway/low sustained-overpressure/high node-offline/high data-silence/high disk-fault/high clock-skew/medium warm/low"
	if got := names(r); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if r.Hash == rules.Shipped().Hash {
		t.Error("other rules have the same hash")
	}

	twice := write(t, dir, "c.yaml", strings.ReplaceAll(hot, "ALARM", "warm"))
	bad := write(t, t.TempDir(), "bad.yaml", strings.ReplaceAll(hot, "winding_temp_c", "winding_temp_f"))
	for _, tt := range []struct {
		name  string
		paths []string
		want  []string
	}{
		{"one alarm twice", []string{dir}, []string{`alarm "warm"`, twice}},
		{"a fault", []string{bad}, []string{"bad.yaml:5", "winding_temp_f"}},
		{"no such file", []string{filepath.Join(dir, "none.yaml")}, []string{"none.yaml"}},
	} {
		_, err := rules.All(tt.paths, list)
		for _, part := range tt.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %v, want one with %q", tt.name, err, part)
			}
		}
	}
}

// example is the first YAML in a document that begins with a key.
func example(t *testing.T, document, key string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", document))
	if err != nil {
		t.Fatal(err)
	}
	_, at, ok := strings.Cut(string(text), "   ```yaml\n   "+key+":")
	at, _, end := strings.Cut(at, "\n   ```")
	if !ok || !end {
		t.Fatalf("%s has no example that begins with %s", document, key)
	}
	return key + ":" + strings.ReplaceAll(at, "\n   ", "\n") + "\n"
}

// The rule of the guide can be used with the profile of the guide to profiles.
func TestTheGuideIsTrue(t *testing.T) {
	dir := t.TempDir()
	press, err := profiles.Load(write(t, dir, "press.yaml", example(t, "profiles.md", "profile")))
	if err != nil {
		t.Fatal(err)
	}
	r, err := rules.Load(write(t, dir, "press-rules.yaml", example(t, "rules.md", "apiVersion")), []*telemetry.Profile{press})
	if err != nil || names(r) != "overload/high" {
		t.Errorf("%s, %v", names(r), err)
	}
}
