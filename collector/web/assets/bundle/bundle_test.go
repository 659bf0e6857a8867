package bundle_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"andon.internal/collector/web/assets/bundle"
)

const advice = "run: go generate ./web/assets (in the collector's folder), and commit dist"

// TestBundleIsUpToDate compares the sources with the hash that the bundle carries,
// which needs no network, and the whole of dist where the packages are installed.
func TestBundleIsUpToDate(t *testing.T) {
	hash, err := bundle.SourceHash("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"app.js", "app.css"} {
		data, err := os.ReadFile(filepath.Join("..", "dist", name))
		if err != nil {
			t.Fatalf("%v; %s", err, advice)
		}
		first, _, _ := strings.Cut(string(data), "\n")
		if first != bundle.Header(hash) {
			t.Errorf("dist/%s is not made from the src beside it; %s", name, advice)
		}
	}
	if _, err := os.Stat("../node_modules"); err != nil {
		t.Log("the packages are not installed: only the hash was compared")
		return
	}
	files, err := bundle.Build("..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join("..", "dist", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("dist/%s is not what the sources make (%v); %s", name, err, advice)
		}
	}
}

// TestLockNamesNoHost keeps the address of a registry out of the lock.
func TestLockNamesNoHost(t *testing.T) {
	data, err := os.ReadFile("../package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), `"resolved"`) {
		t.Error(`package-lock.json has "resolved": remove these lines (npm config set omit-lockfile-registry-resolved true)`)
	}
}

// TestNothingFromOutside looks for addresses that a browser would fetch from.
func TestNothingFromOutside(t *testing.T) {
	for _, name := range []string{"app.css", "app.js"} {
		data, err := os.ReadFile(filepath.Join("..", "dist", name))
		if err != nil {
			t.Fatal(err)
		}
		code := string(data)
		if at := strings.Index(code, "/*!"); at > 0 {
			code = code[:at] // licences follow
		}
		for _, bad := range []string{"url(http", "url(//", "@import", "fetch(\"http", "import(\"http"} {
			if strings.Contains(code, bad) {
				t.Errorf("%s has %q", name, bad)
			}
		}
	}
}

// TestContrast holds the colours of text to WCAG AA, 4.5 to 1, on both grounds that
// text lies on, in both themes.
func TestContrast(t *testing.T) {
	css, err := os.ReadFile("../src/base.css")
	if err != nil {
		t.Fatal(err)
	}
	themes := [2]map[string]float64{{}, {}} // luminances
	for _, m := range regexp.MustCompile(`--([\w-]+): (?:light-dark\()?(#\w{6})(?:, (#\w{6})\))?;`).FindAllStringSubmatch(string(css), -1) {
		light, dark := m[2], m[3]
		if dark == "" {
			dark = light
		}
		themes[0][m[1]], themes[1][m[1]] = luminance(t, light), luminance(t, dark)
	}
	for i, theme := range themes {
		for _, pair := range []string{
			"text panel", "text raised", "text ground", "text-2 panel", "text-2 raised", "text-2 ground", "critical panel", "critical raised",
			"high panel", "high raised", "medium panel", "medium raised", "low panel", "low raised", "stale panel", "stale raised", "warn-ink warn-ground",
		} {
			fg, bg, _ := strings.Cut(pair, " ")
			a, b := theme[fg], theme[bg]
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < 4.5 || a == b {
				t.Errorf("theme %d: %s on %s has a contrast of %.2f", i, fg, bg, ratio)
			}
		}
	}
}

// luminance is that of WCAG 2.2.
func luminance(t *testing.T, hex string) float64 {
	n, err := strconv.ParseUint(hex[1:], 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	part := func(shift int) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
}
