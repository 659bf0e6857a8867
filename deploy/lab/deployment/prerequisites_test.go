package deployment_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine is one that lacks what the tests need: its PATH has bash, some tools and
// stand-ins, so that nothing reaches the real apt-get.
type machine struct {
	t    *testing.T
	path string
}

func newMachine(t *testing.T, uid string) *machine {
	t.Helper()
	m := &machine{t, t.TempDir()}
	for _, tool := range []string{"bash", "sh", "touch", "chmod"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(m.path, tool)); err != nil {
			t.Fatal(err)
		}
	}
	m.put("id", "echo "+uid)
	return m
}

// put makes a program of a shell script.
func (m *machine) put(name, script string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.path, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

// run runs a command whose PATH is the machine's and nothing else.
func (m *machine) run(words ...string) result {
	m.t.Helper()
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = []string{"PATH=" + m.path, "CALLS=" + filepath.Join(m.path, "calls")}
	return run(m.t, cmd)
}

func (m *machine) prerequisites() result {
	return m.run(filepath.Join(root, "deploy/scripts/prerequisites"))
}

func (m *machine) calls() string {
	b, err := os.ReadFile(filepath.Join(m.path, "calls"))
	if err != nil && !os.IsNotExist(err) {
		m.t.Error(err)
	}
	return string(b)
}

// aptGet brings every program that the script looks for.
const aptGet = `echo "apt-get $*" >>$CALLS
case $* in
*install*) cd ${0%/*} && for p in initdb pgbouncer node npm mosquitto_passwd mosquitto_sub plackup perl chromium systemd-analyze ip tc gcc; do echo '#!/bin/sh' >$p && chmod +x $p; done ;;
esac`

// lacking is what every such machine lacks; PostgreSQL, PgBouncer and
// mkfs.ext4 are also looked for beside PATH.
const lacking = "nodejs npm mosquitto mosquitto-clients liblemonldap-ng-portal-perl libstring-random-perl libio-string-perl chromium systemd iproute2 gcc libc6-dev"

func TestPrerequisitesAreToldToOthersThanRoot(t *testing.T) {
	for _, by := range []string{"sudo", "su"} {
		t.Run(by, func(t *testing.T) {
			m := newMachine(t, "1000")
			m.put("apt-get", `[ "$ROOT" ] || exit 100; `+aptGet)
			m.put("su", `[ "$1 $2" = "- -c" ] && ROOT=1 exec sh -c "$3"`)
			if by == "sudo" {
				m.put("sudo", `ROOT=1 exec "$@"`)
			}
			r := m.prerequisites()
			_, command, ok := strings.Cut(strings.TrimSuffix(r.errors, "\n"), lacking+"; run: ")
			if r.code != 1 || !ok || !strings.HasPrefix(r.errors, "missing: ") || !strings.HasPrefix(command, by+" ") ||
				strings.Contains(command, "\n") || m.calls() != "" {
				t.Fatalf("%+v; ran\n%s", r, m.calls())
			}
			if r := m.run("/bin/sh", "-c", command); r.code != 0 {
				t.Fatalf("%s: %+v", command, r)
			}
			if r := m.prerequisites(); r.code != 0 || r.out+r.errors != "" {
				t.Errorf("after the command: %+v", r)
			}
		})
	}
}

func TestPrerequisitesAreInstalledForRoot(t *testing.T) {
	m := newMachine(t, "0")
	m.put("apt-get", aptGet)
	for range 2 { // what is there is not installed again
		if r := m.prerequisites(); r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	updated, installed, _ := strings.Cut(m.calls(), "\n")
	if updated != "apt-get update -qq" || !strings.Contains(installed, " install ") || !strings.HasSuffix(installed, lacking+"\n") ||
		strings.Count(installed, "\n") != 1 {
		t.Errorf("ran\n%s", m.calls())
	}
}

func TestPrerequisitesThatStayAwayAreNamed(t *testing.T) {
	for name, tt := range map[string]struct{ apt, want string }{
		"not in the package": {":", lacking + "\n"},
		"too old":            {aptGet + "\necho exit 1 >>${0%/*}/node", "still missing, or too old: nodejs\n"},
		"no apt-get":         {"", lacking + " (these are Debian's packages)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, "0")
			if tt.apt != "" {
				m.put("apt-get", tt.apt)
			}
			if r := m.prerequisites(); r.code != 1 || !strings.HasSuffix(r.errors, tt.want) {
				t.Errorf("%+v, want %q", r, tt.want)
			}
		})
	}
}
