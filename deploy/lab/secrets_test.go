package lab_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"andon.internal/shared/freeport"
	"andon.internal/shared/pgserver"
)

// wrongSecret is one that is given wherever a secret is wrong.
const wrongSecret = "hunter2-and-more"

// secrets runs the real programs with secrets, and looks for these in all that they show.
type secrets struct {
	t      *testing.T
	dir    string
	broker string
	hidden map[string]string // what must be shown nowhere, by what it is
	shown  map[string]string // everything that was, by where
}

// TestSecretsAreShownNowhere gives the programs good and bad secrets in every form, at
// log level debug, and looks through their output, their pages and their command lines.
func TestSecretsAreShownNowhere(t *testing.T) {
	t.Parallel()
	pg, err := pgserver.Start(t.Context(), pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Remove(); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(pg.DSN())
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	u.User = url.User(u.User.Username())
	s := &secrets{t: t, dir: t.TempDir(), hidden: map[string]string{"the password": password, "the wrong one": wrongSecret}, shown: map[string]string{}}
	s.write("password", password+"\n")
	s.write("wrong", wrongSecret+"\n")
	s.write("dsn", pg.DSN()+"\n")
	s.write("broken-dsn", "postgres://u:"+wrongSecret+"@h:nan/d\n")
	s.certify()
	s.startBroker()
	s.startAgent()
	dsn := u.String()

	for name, database := range map[string]string{
		"file":       `{dsn: "` + dsn + `", password: {file: password}}`,
		"env":        `{dsn: "` + dsn + `", password: {env: ANDON_TEST_PASSWORD}}`,
		"credential": `{dsn: "` + dsn + `", password: {credential: password}}`,
		"dsn-file":   `{dsn_from: {file: dsn}}`,
		"dsn":        `{dsn: "` + pg.DSN() + `"}`,
	} {
		s.collect("good "+name, database, http.StatusOK, "", "ANDON_TEST_PASSWORD="+password, "CREDENTIALS_DIRECTORY="+s.dir)
	}
	away := strings.Replace(dsn, u.Host, "127.0.0.1:1", 1)
	for name, database := range map[string]string{
		"file":        `{dsn: "` + dsn + `", password: {file: wrong}}`,
		"env":         `{dsn: "` + dsn + `", password: {env: ANDON_TEST_PASSWORD}}`,
		"dsn":         `{dsn: "` + strings.Replace(pg.DSN(), password, wrongSecret, 1) + `"}`,
		"unreachable": `{dsn: "` + away + `", password: {file: password}}`,
	} {
		cause := "password authentication failed"
		if name == "unreachable" {
			cause = "connection refused"
		}
		s.collect("bad "+name, database, http.StatusServiceUnavailable, cause, "ANDON_TEST_PASSWORD="+wrongSecret)
	}
	for name, text := range map[string]string{
		"broken DSN":           `database: {dsn_from: {file: broken-dsn}}`,
		"broken DSN in place":  `database: {dsn: "postgres://u:` + wrongSecret + `@h:nan/d"}`,
		"broken DSN in words":  `database: {dsn: "host=h password=` + wrongSecret + ` port=nan"}`,
		"password in place":    `database: {dsn: x, password: ` + wrongSecret + `}`,
		"password as a key":    `database: {dsn: x, password: {` + wrongSecret + `}}`,
		"password in a list":   `database: {dsn: x, password: [` + wrongSecret + `]}`,
		"password as an alias": `database: {dsn: x, password: *` + wrongSecret + `}`,
		"password cut off":     `database: {dsn: x, password: "` + wrongSecret,
		"DSN for the part":     `database: postgres://u:` + wrongSecret + `@h/d`,
		"DSN for a key":        `database: {postgres://u:` + wrongSecret + `@h/d}`,
		"broker's address":     "database: {dsn: x}\nmqtt: {url: \"tcp://u:" + wrongSecret + "@127.0.0.1:1883\"}",
		"broker's bad address": "database: {dsn: x}\nmqtt: {url: \"tcp://u:" + wrongSecret + "@127.0.0.1:nan\"}",
		"key":                  "database: {dsn: x}\nmqtt: {url: \"mqtts://127.0.0.1:1\", tls: {ca: ca.crt, cert: main.crt, key: wrong}}",
	} {
		config := s.write("bad.yaml", text+"\nlog: {level: debug}\n")
		for _, args := range [][]string{{"run"}, {"check"}, {"migrate"}, {"health"}, {"audit"}, {"audit", "verify-log"}} {
			s.once(name, "andon-collector", append(args, "--config", config)...)
		}
	}
	s.once("token", "andon-collector", "health", "--url", "https://127.0.0.1:1", "--token-file", s.path("wrong"))
	bad := s.write("bad-agent.yaml", "group: g\nnode: n\ndata: data\nmqtt: {url: \"mqtts://u:"+wrongSecret+"@127.0.0.1:1\", tls: {ca: ca.crt, cert: cell.crt, key: wrong}}\n")
	s.once("agent", "andon-agent", "run", "--config", bad)
	bad = s.write("bad-broker.yaml", "listen: 127.0.0.1:0\ntls: {ca: ca.crt, cert: broker.crt, key: wrong}\n")
	s.once("broker", "andon-broker", "run", "--config", bad)
	s.look()
}

func (s *secrets) path(name string) string { return filepath.Join(s.dir, name) }

func (s *secrets) write(name, text string) string {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return s.path(name)
}

// certify makes certificates for the three, whose keys are secrets too.
func (s *secrets) certify() {
	s.t.Helper()
	for _, args := range [][]string{
		{"init", "--name", "lab"},
		{"broker", "--host", "127.0.0.1", "--out", s.dir},
		{"issue", "--collector", "main", "--out", s.dir},
		{"issue", "--node", "cell", "--group", "g", "--out", s.dir},
	} {
		s.once("ca", "andon-broker", append([]string{"ca", args[0], "--dir", s.dir}, args[1:]...)...)
	}
	for _, name := range []string{"broker.key", "main.key", "cell.key"} {
		text, err := os.ReadFile(s.path(name))
		if err != nil {
			s.t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		s.hidden[name] = lines[1][:min(len(lines[1]), 48)]
	}
}

// once runs a command to its end.
func (s *secrets) once(what, program string, args ...string) {
	s.t.Helper()
	var out output
	cmd := s.command(&out, program, args...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	timer := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait() // many are to fail
	if !timer.Stop() {
		s.t.Errorf("%s %v does not end: its output is cut off", program, args)
	}
	s.shown[fmt.Sprintf("%s: output of %s %v", what, program, args)] = out.String()
}

func (s *secrets) command(out *output, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin, program), args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// port returns a free address of loopback.
func (s *secrets) port() string {
	s.t.Helper()
	p, err := freeport.Take()
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", p)
}

// start starts a daemon, waits until its /readyz has the status and its log says what it
// must, keeps what it shows, and returns what stops it.
func (s *secrets) start(what, program, config string, status int, says string, env ...string) (stop func()) {
	s.t.Helper()
	at := s.port()
	file := s.write(strings.ReplaceAll(what, " ", "-")+".yaml", config+"\nhttp: {listen: \""+at+"\"}\nlog: {level: debug}\n")
	out := &output{}
	cmd := s.command(out, program, "run", "--config", file)
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		s.shown[what+": log"] = out.String()
	}
	s.t.Cleanup(stop)
	eventually(s.t, what, func() bool {
		code, _ := s.get(at, "/readyz")
		return code == status && strings.Contains(out.String(), says)
	}, func() any { return out.String() })
	for _, page := range []string{"/readyz", "/healthz", "/metrics"} {
		_, s.shown[what+": "+page] = s.get(at, page)
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	s.shown[what+": command line"] = string(line)
	return stop
}

func (s *secrets) get(at, path string) (int, string) {
	response, err := http.Get("http://" + at + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}

func (s *secrets) startBroker() {
	s.broker = s.port()
	s.start("broker", "andon-broker", "listen: \""+s.broker+"\"\ntls: {ca: ca.crt, cert: broker.crt, key: broker.key}", http.StatusOK, "")
}

func (s *secrets) startAgent() {
	s.start("agent", "andon-agent", "group: g\nnode: cell\ndata: data\nmqtt: {url: \"mqtts://"+s.broker+
		"\", tls: {ca: ca.crt, cert: cell.crt, key: cell.key}}\nsources: [{name: line1, driver: simulated, simulated: {stations: 1}}]", http.StatusServiceUnavailable, "")
}

// collect runs a collector with a database until it is ready, or says why it is not.
func (s *secrets) collect(what, database string, status int, says string, env ...string) {
	s.t.Helper()
	s.start("collector "+what, "andon-collector", "mqtt: {url: \"mqtts://"+s.broker+
		"\", tls: {ca: ca.crt, cert: main.crt, key: main.key}}\nweb: {listen: \""+s.port()+"\"}\ndatabase: "+database, status, says, env...)()
}

// look looks for the secrets in all that was shown.
func (s *secrets) look() {
	s.t.Helper()
	for _, where := range slices.Sorted(maps.Keys(s.shown)) {
		for what, secret := range s.hidden {
			if at := strings.Index(s.shown[where], secret); at >= 0 {
				s.t.Errorf("%s shows %s: ...%s", where, what, s.shown[where][max(0, at-120):at+len(secret)])
			}
		}
	}
	if len(s.shown) < 100 {
		s.t.Errorf("only %d places were looked at", len(s.shown))
	}
}
