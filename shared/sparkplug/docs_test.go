package sparkplug_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// statement is a row of the tables of docs/sparkplug.md.
type statement struct {
	id, status string
	tests      []string // FOLDER.FUNCTION
}

// statements reads the rows of the document's last part.
func statements(t *testing.T) []statement {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "sparkplug.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), "## Normative statements")
	if !ok {
		t.Fatal("docs/sparkplug.md has no part of normative statements")
	}
	var list []statement
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| id |") {
			continue
		}
		if len(cells) != 6 {
			t.Errorf("row of %d cells: %s", len(cells)-2, line)
			continue
		}
		s := statement{id: strings.TrimSpace(cells[1]), status: strings.TrimSpace(cells[3])}
		for name := range strings.FieldsFuncSeq(cells[4], func(r rune) bool { return strings.ContainsRune(" ,`", r) }) {
			s.tests = append(s.tests, name)
		}
		list = append(list, s)
	}
	return list
}

// TestDocumentIsWhole checks the form of docs/sparkplug.md: every normative
// statement once, with a status, a reason where it is not met, and a test where it is.
func TestDocumentIsWhole(t *testing.T) {
	list, seen := statements(t), make(map[string]bool)
	for _, s := range list {
		if seen[s.id] {
			t.Errorf("%s comes twice", s.id)
		}
		seen[s.id] = true
		switch kind, reason, _ := strings.Cut(s.status, ": "); kind {
		case "met":
			if len(s.tests) == 0 {
				t.Errorf("%s is met and names no test", s.id)
			}
		case "not applicable", "not applicable to node and host", "deviates":
			if reason == "" {
				t.Errorf("%s is %q without a reason", s.id, kind)
			}
		default:
			t.Errorf("%s has status %q", s.id, s.status)
		}
	}
	const want = 299 // statements in Sparkplug 3.0
	if len(list) != want {
		t.Errorf("%d statements, want %d", len(list), want)
	}
}

// TestDocumentNamesRealTests checks that every test that docs/sparkplug.md names is
// there, in whatever module.
func TestDocumentNamesRealTests(t *testing.T) {
	functions := regexp.MustCompile(`(?m)^func (Test\w+)\(\w+ \*testing\.T\)`)
	known := make(map[string]map[string]bool) // folder -> its tests
	missing := make(map[string]bool)
	for _, s := range statements(t) {
		for _, ref := range s.tests {
			folder, name, ok := strings.Cut(ref, ".")
			if !ok {
				t.Errorf("%s: %q is not FOLDER.FUNCTION", s.id, ref)
				continue
			}
			if known[folder] == nil {
				known[folder] = make(map[string]bool)
				files, _ := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(folder), "*_test.go"))
				for _, file := range files {
					b, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					for _, m := range functions.FindAllSubmatch(b, -1) {
						known[folder][string(m[1])] = true
					}
				}
			}
			if !known[folder][name] && !missing[ref] {
				missing[ref] = true
				t.Errorf("docs/sparkplug.md names %s, which is not there", ref)
			}
		}
	}
}
