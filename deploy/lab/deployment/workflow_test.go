package deployment_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// workflow is a workflow of .github; keys that are not here are not used.
type workflow struct {
	Name string
	On   struct {
		Push             *struct{ Branches []string }
		PullRequest      *struct{} `yaml:"pull_request"`
		Schedule         []struct{ Cron string }
		WorkflowDispatch *struct{} `yaml:"workflow_dispatch"`
	}
	Permissions map[string]string
	Concurrency struct {
		Group  string
		Cancel string `yaml:"cancel-in-progress"`
	}
	Jobs map[string]struct {
		RunsOn  string `yaml:"runs-on"`
		Timeout int    `yaml:"timeout-minutes"`
		Steps   []step
	}
}

type step struct {
	Name, Uses, Run string
	With, Env       map[string]string
}

var makes = regexp.MustCompile(`^(?:sudo env (?:"?\w+=\S+ )+)?make (.+)$`)

// made are the targets that the step makes, as root or not.
func (s *step) made() []string {
	if m := makes.FindStringSubmatch(s.Run); m != nil {
		return strings.Fields(m[1])
	}
	return nil
}

// parseWorkflow reads a workflow of these jobs, and returns their steps in that order.
func parseWorkflow(t *testing.T, name string, jobs ...string) (w workflow, steps []step) {
	t.Helper()
	decode(t, ".github/workflows/"+name, &w)
	for _, job := range jobs {
		j := w.Jobs[job]
		if j.Timeout == 0 {
			t.Errorf("%s: there is no job %s, or it has no time limit", name, job)
		}
		steps = append(steps, j.Steps...)
	}
	if len(w.Jobs) != len(jobs) || len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
		t.Errorf("%s: jobs %d, permissions %v", name, len(w.Jobs), w.Permissions)
	}
	version := regexp.MustCompile(`^actions/[a-z-]+@v\d+$`)
	for _, s := range steps {
		switch {
		case s.Uses != "":
			if !version.MatchString(s.Uses) {
				t.Errorf("%s uses %s", name, s.Uses)
			}
		case len(s.made()) > 0:
			for _, target := range s.made() {
				if !strings.Contains(read(t, "Makefile"), "\n"+target+":") {
					t.Errorf("%s makes %s, which the Makefile does not", name, target)
				}
			}
		default:
			script, _, _ := strings.Cut(strings.TrimPrefix(s.Run, "sudo "), " ")
			if info, err := os.Stat(filepath.Join(root, script)); err != nil || info.Mode()&0o111 == 0 {
				t.Errorf("%s runs %q: %v", name, script, err)
			}
		}
	}
	return w, steps
}

func TestContinuousIntegration(t *testing.T) {
	w, steps := parseWorkflow(t, "ci.yml", "check-and-test", "vuln")
	if w.On.Push == nil || w.On.PullRequest == nil {
		t.Error("it does not run for every change")
	}
	var ran []string
	for _, s := range steps {
		ran = append(ran, s.made()...)
		if strings.HasPrefix(s.Uses, "actions/setup-go@") {
			read(t, s.With["go-version-file"])
		}
	}
	if got := strings.Join(ran, "\n"); got != "check\ntest\nvuln" {
		t.Errorf("it makes %q", ran)
	}
}

func TestHealthWorkflow(t *testing.T) {
	w, steps := parseWorkflow(t, "health.yml", "look")
	if len(w.On.Schedule) != 1 || !regexp.MustCompile(`^\d+ \* \* \* \*$`).MatchString(w.On.Schedule[0].Cron) || w.On.WorkflowDispatch == nil {
		t.Errorf("it runs on %+v, want every hour and by hand", w.On)
	}
	raw := read(t, ".github/workflows/health.yml")
	for _, bad := range []string{"continue-on-error", "\n    if:", "      if:", "|| true"} {
		if strings.Contains(raw, bad) {
			t.Errorf("%q may hide that nothing was checked", bad)
		}
	}
	last := steps[len(steps)-1]
	if last.Run != "deploy/scripts/hourly-health" {
		t.Fatalf("the last step runs %q", last.Run)
	}
	script := read(t, last.Run)
	for _, name := range []string{"ANDON_HEALTH_URL", "ANDON_HEALTH_TOKEN", "ANDON_HEALTH_CONFIG", "ANDON_HEALTH_RETIRED"} {
		if last.Env[name] == "" || !strings.Contains(script, name) {
			t.Errorf("%s does not get from the workflow to the script", name)
		}
	}
	for _, secret := range []string{"ANDON_HEALTH_URL", "ANDON_HEALTH_TOKEN"} {
		if last.Env[secret] != "${{ secrets."+secret+" }}" {
			t.Errorf("%s is %s", secret, last.Env[secret])
		}
	}
}
