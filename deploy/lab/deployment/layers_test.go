package deployment_test

import (
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// modules are the folders whose packages are linted. The package in each of them wires
// its module, and may import all of it.
var modules = []string{"shared", "agent", "broker", "collector", "deploy/lab"}

// layer is what one package may import of this repository.
type layer struct {
	in    int // how many rules or rows name it
	knows []string
	any   bool // its whole module, and shared
}

// importPath is that of the package in a folder.
func importPath(folder string) string {
	return "andon.internal/" + strings.TrimPrefix(folder, "deploy/")
}

// packages returns the folders that hold Go code which is not a test.
func packages(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, m := range modules {
		err := filepath.WalkDir(filepath.Join(root, m), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
				return err
			}
			folder, err := filepath.Rel(root, filepath.Dir(p))
			if err == nil && !strings.Contains(folder, "testdata") {
				list = append(list, filepath.ToSlash(folder))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// linted returns what the linter lets packages import, by folder, and what it keeps out
// of each module.
func linted(t *testing.T) (layers map[string]layer, keptOut map[string][]string) {
	t.Helper()
	var config struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules map[string]struct {
						Files, Allow []string
						Mode         string `yaml:"list-mode"`
						Deny         []struct{ Pkg string }
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, ".golangci.yml")), &config); err != nil {
		t.Fatal(err)
	}
	layers, keptOut = map[string]layer{}, map[string][]string{}
	for name, rule := range config.Linters.Settings.Depguard.Rules {
		if !slices.Contains(rule.Files, "!$test") { // of a whole module
			for _, d := range rule.Deny {
				keptOut[name] = append(keptOut[name], d.Pkg)
			}
			continue
		}
		closed := rule.Mode == "strict" || rule.Mode == "lax" && len(rule.Deny) == 1 && rule.Deny[0].Pkg == "andon.internal"
		if !closed {
			t.Errorf("rule %s does not deny what it does not allow", name)
		}
		for _, file := range rule.Files {
			folder, ok := strings.CutPrefix(strings.TrimSuffix(file, "/*.go"), "**/")
			if !ok {
				continue
			}
			if strings.HasPrefix(folder, "lab/") {
				folder = "deploy/" + folder
			}
			l := layers[folder]
			l.in++
			for _, allowed := range rule.Allow {
				if exact, ok := strings.CutSuffix(allowed, "$"); ok && strings.HasPrefix(exact, "andon.internal/") {
					l.knows = append(l.knows, exact)
				} else if strings.HasPrefix(allowed, "andon.internal") {
					t.Errorf("rule %s: %s allows what begins so, too; end it with $", name, allowed)
				}
			}
			layers[folder] = l
		}
	}
	return layers, keptOut
}

// drawn returns what ARCHITECTURE.md says that packages know, by folder.
func drawn(t *testing.T, all []string) map[string]layer {
	t.Helper()
	_, text, _ := strings.Cut(read(t, "ARCHITECTURE.md"), "| folder | what it is | knows |")
	text, _, _ = strings.Cut(text, "\n\n")
	layers := map[string]layer{}
	for row := range strings.Lines(text) {
		cells := strings.Split(row, "|")
		if len(cells) != 5 || strings.Contains(row, "| --- |") {
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			l := layers[m[1]]
			l.in++
			switch knows := strings.TrimSpace(cells[3]); knows {
			case "", "the standard library":
			case "its module, shared":
				l.any = true
			default:
				for _, name := range strings.Split(knows, ", ") {
					l.knows = append(l.knows, importPath(named(t, m[1], name, all)))
				}
			}
			layers[m[1]] = l
		}
	}
	return layers
}

// named finds the package that a row calls by its last name: one of its own module, or
// of shared.
func named(t *testing.T, from, name string, all []string) string {
	t.Helper()
	for _, m := range []string{moduleOf(from), "shared"} {
		for _, folder := range all {
			if path.Base(folder) == name && moduleOf(folder) == m {
				return folder
			}
		}
	}
	t.Errorf("ARCHITECTURE.md: %s knows %s, which is not there", from, name)
	return name
}

func moduleOf(folder string) string {
	for _, m := range modules {
		if folder == m || strings.HasPrefix(folder, m+"/") {
			return m
		}
	}
	return ""
}

// TestLinterHoldsWhatPackagesKnow: every package has a row in ARCHITECTURE.md and a rule
// in .golangci.yml, and both say the same.
func TestLinterHoldsWhatPackagesKnow(t *testing.T) {
	all := packages(t)
	rules, keptOut := linted(t)
	rows := drawn(t, all)
	for _, folder := range all {
		row, rule := rows[folder], rules[folder]
		wires := slices.Contains(modules, folder)
		switch {
		case row.in != 1:
			t.Errorf("%s has %d rows in ARCHITECTURE.md", folder, row.in)
		case row.any != wires:
			t.Errorf("ARCHITECTURE.md: %s knows all of its module: %v", folder, row.any)
		case wires:
		case rule.in != 1:
			t.Errorf("%s is in %d rules of .golangci.yml", folder, rule.in)
		default:
			slices.Sort(row.knows)
			slices.Sort(rule.knows)
			if !slices.Equal(row.knows, rule.knows) {
				t.Errorf("%s\n knows %v\n may import %v", folder, row.knows, rule.knows)
			}
		}
	}
	for folder := range rules {
		if !slices.Contains(all, folder) {
			t.Errorf(".golangci.yml: there is no package %s", folder)
		}
	}
	for _, m := range modules {
		for _, other := range modules {
			if m != other && other != "shared" && !slices.Contains(keptOut[path.Base(m)], importPath(other)) {
				t.Errorf(".golangci.yml: %s may import %s", m, other)
			}
		}
	}
}
