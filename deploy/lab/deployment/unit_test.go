package deployment_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const (
	agentUnit     = "deploy/edge/andon-agent.service"
	authorityUnit = "deploy/cloud/andon-authority.service"
)

// parseUnit returns the settings of the unit, all sections together: no name stands in
// two of them.
func parseUnit(t *testing.T, unitFile string) map[string][]string {
	t.Helper()
	settings, sections := map[string][]string{}, []string{}
	for line := range strings.Lines(read(t, unitFile)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			sections = append(sections, line)
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok || len(sections) == 0 {
				t.Fatalf("%s: %q is no setting", unitFile, line)
			}
			settings[key] = append(settings[key], value)
		}
	}
	if got := strings.Join(sections, ""); got != "[Unit][Service][Install]" {
		t.Errorf("%s has the sections %s", unitFile, got)
	}
	return settings
}

func TestUnitsAreHardened(t *testing.T) {
	for file, exec := range map[string]string{
		agentUnit:     "/usr/bin/andon-agent run --config /etc/andon/agent.yaml",
		authorityUnit: "/usr/bin/andon-broker ca serve --dir /var/lib/andon-authority --listen 0.0.0.0:8884 --names ${NAMES}",
	} {
		unit := parseUnit(t, file)
		for key, want := range map[string]string{
			"ExecStart":             exec,
			"DynamicUser":           "yes",
			"ProtectSystem":         "strict",
			"ProtectHome":           "yes",
			"NoNewPrivileges":       "yes",
			"PrivateDevices":        "yes",
			"CapabilityBoundingSet": "",
			"Restart":               "always",
			"StartLimitIntervalSec": "0", // it never gives up
		} {
			if got, ok := unit[key]; !ok || got[0] != want {
				t.Errorf("%s: %s=%v, want %q", file, key, got, want)
			}
		}
	}
	if parseUnit(t, agentUnit)["ProcSubset"] != nil {
		t.Error("ProcSubset= hides the boot id, which the agent needs")
	}
}

// TestUnitsStandUpToSystemd has systemd itself read the units, and rate them.
func TestUnitsStandUpToSystemd(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatal("there is no systemd-analyze, which comes with systemd: run `make prerequisites`")
	}
	for _, file := range []string{agentUnit, authorityUnit} {
		text := strings.Replace(read(t, file), "=/usr/bin/andon-", "="+bin+"/andon-", 1)
		unit := filepath.Join(t.TempDir(), filepath.Base(file))
		if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		// What it finds wrong with a setting it only writes.
		if r := run(t, exec.Command(analyze, "verify", "--man=no", unit)); r.code != 0 || strings.Contains(r.errors, filepath.Base(file)) {
			t.Errorf("verify: %+v", r)
		}
		r := run(t, exec.Command(analyze, "security", "--offline=true", "--no-pager", unit))
		level := regexp.MustCompile(`exposure level .*: ([0-9.]+)`).FindStringSubmatch(r.out)
		if level == nil {
			t.Fatalf("systemd-analyze does not rate the unit (it does from version 250 on): %+v", r)
		}
		if n, err := strconv.ParseFloat(level[1], 64); err != nil || n > 1.5 {
			t.Errorf("%s: the exposure level is %s, want 1.5 or less:\n%s", file, level[1], r.out)
		}
	}
}
