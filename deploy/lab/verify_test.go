package lab_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"andon.internal/lab/cmapss"
	"andon.internal/lab/factory"
	"andon.internal/lab/verify"
)

// spoil makes six lines malformed and one a repeat, and cuts off the file's last line.
func spoil(lines []string) []string {
	lines[3] = "\n"
	lines[10] = lines[10][:60] + "\n"
	lines[20] = strings.Replace(lines[20], " 21", " twenty-one", 1)
	lines[30] = strings.TrimRight(lines[30], " \n") + " 1\n"
	lines[40] = strings.Replace(lines[40], ".", "x", 1)
	lines[50] = "NaN " + lines[50]
	lines[60] = lines[59]
	last := len(lines) - 2 // behind it is what follows the last newline
	lines[last] = strings.TrimSpace(lines[last])[:90]
	return lines
}

func readReport(t *testing.T, out string) verify.Report {
	t.Helper()
	var r verify.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return r
}

func TestVerifyMalformed(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory")
	}
	t.Parallel()
	dir := place(t)
	file := engines(t, dir, cmapss.Spec{Seed: 3, Engines: 8, Cycles: 150}, spoil)
	labs := place(t)
	r := readReport(t, mustLab(t, labs, "verify", "--replay", file, "--json"))
	if !r.Passed || r.Malformed != 7 || r.Stored != r.Lines-7 || r.Declared != r.Stored || r.Speed != "max" {
		t.Errorf("report %+v", r)
	}
	if r.Missing+r.Doubled+r.Different+r.Unexpected+r.Disordered != 0 || !r.Ledger.OK() || r.Ledger.Committed == 0 {
		t.Errorf("report %+v", r)
	}
	expectNothingLeft(t, labs)
}

func TestVerifyFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	file := engines(t, place(t), cmapss.Spec{Seed: 4, Engines: 40, Cycles: 200}, nil)
	labs := place(t)
	out, err := lab(t, labs, "verify", "--replay", file, "--faults", "--seed", "11", "--json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := readReport(t, out)
	kills, cuts := map[string]int{}, 0
	for _, f := range r.Faults {
		if f.Kind == verify.Kill {
			kills[f.Target]++
		} else {
			cuts++
		}
		if f.Rows <= 0 || f.Rows >= r.Declared {
			t.Errorf("%s %s struck at %d of %d rows", f.Kind, f.Target, f.Rows, r.Declared)
		}
	}
	if cuts < 2 || len(kills) != 4 {
		t.Errorf("%d cuts, kills %v", cuts, kills)
	}
	expectNothingLeft(t, labs)
}

// TestVerifyWithMosquitto breaks everything with another broker in the middle: nothing but
// its address says which it is, and it promises nothing.
func TestVerifyWithMosquitto(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		program = "/usr/sbin/mosquitto" // Debian: mosquitto
	}
	file := engines(t, place(t), cmapss.Spec{Seed: 9, Engines: 40, Cycles: 200}, nil)
	labs := place(t)
	out, err := lab(t, labs, "verify", "--replay", file, "--faults", "--seed", "12", "--mosquitto", program, "--keep", "--json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := readReport(t, out)
	log, err := os.ReadFile(filepath.Join(r.Data, factory.Broker, "log.txt"))
	if version := regexp.MustCompile(`(?m)\bmosquitto version \S+ starting$`); err != nil || !version.Match(log) {
		t.Errorf("the broker was not Mosquitto (%v): %s", err, log)
	}
	if err := os.RemoveAll(r.Data); err != nil {
		t.Error(err)
	}
	if !r.Passed || r.Declared < 5000 || !strings.Contains(out, `"target": "broker"`) {
		t.Errorf("%d rows: %s", r.Declared, out)
	}
	expectNothingLeft(t, labs)
}

// TestVerifyTells has nothing to verify, or no time for it.
func TestVerifyTells(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory")
	}
	t.Parallel()
	dir, labs := place(t), place(t)
	empty := engines(t, dir, cmapss.Spec{Seed: 1, Engines: 1, Cycles: 1, Exact: true}, func([]string) []string { return []string{"1 1 1\n"} })
	if _, err := lab(t, labs, "verify", "--replay", empty); err == nil || !strings.Contains(err.Error(), "no valid line") {
		t.Errorf("an empty file: %v", err)
	}
	if _, err := lab(t, labs, "verify", "--replay", filepath.Join(dir, "none")); err == nil {
		t.Error("no error for a file that is not there")
	}
	tiny := engines(t, dir, cmapss.Spec{Seed: 1, Engines: 1, Cycles: 3, Exact: true}, nil)
	if _, err := lab(t, labs, "verify", "--replay", tiny, "--faults", "--speed", "1000000"); err == nil || !strings.Contains(err.Error(), "slow the file down") {
		t.Errorf("faults that came too late: %v", err)
	}
	file := engines(t, dir, cmapss.Spec{Seed: 1, Engines: 2, Cycles: 1000, Exact: true}, nil)
	begun := time.Now()
	out, err := lab(t, labs, "verify", "--replay", file, "--speed", "1000000", "--within", "1ms", "--json")
	if err == nil {
		t.Errorf("no error for a file that had no time to arrive, after %v", time.Since(begun))
	}
	if r := readReport(t, out); r.Passed || len(r.Problems) == 0 {
		t.Errorf("report %+v", r)
	}
	expectNothingLeft(t, labs)
}
