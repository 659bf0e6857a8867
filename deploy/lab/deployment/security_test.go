package deployment_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	inFolder = regexp.MustCompile("`([a-z/]+)` ((?:Test|Fuzz)[^`|]*)")
	testName = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Za-z0-9]+\b`)
)

// TestSecurityNamesItsTests holds docs/security.md to the tests that it names.
func TestSecurityNamesItsTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range inFolder.FindAllStringSubmatch(string(text), -1) {
		tests := testsOf(t, m[1])
		for _, name := range testName.FindAllString(m[2], -1) {
			found++
			if !strings.Contains(tests, "func "+name+"(") {
				t.Errorf("there is no %s in %s", name, m[1])
			}
		}
	}
	if all := len(testName.FindAllString(string(text), -1)); found < 40 || found != all {
		t.Errorf("%d tests stand behind their folder, of %d that are named", found, all)
	}
}

// testsOf returns the text of a folder's tests.
func testsOf(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no tests: %v", folder, err)
	}
	var all strings.Builder
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}
