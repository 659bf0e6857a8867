package deployment_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v3"
)

// compose is a compose file; keys that are not here are not used.
type compose struct {
	Name     string
	Services map[string]service
	Volumes  map[string]any
	Networks map[string]struct {
		IPAM struct {
			Config []struct{ Subnet, Gateway string }
		} `yaml:"ipam"`
	}
	Secrets map[string]struct{ File string }
}

type service struct {
	Image       string
	Build       *struct{ Context, Dockerfile string }
	Command     []string
	Restart     string
	Environment map[string]string
	Secrets     []string
	Volumes     []string
	Ports       []string
	ShmSize     string                                `yaml:"shm_size"`
	NetworkMode string                                `yaml:"network_mode"`
	ReadOnly    bool                                  `yaml:"read_only"`
	CapDrop     []string                              `yaml:"cap_drop"`
	SecurityOpt []string                              `yaml:"security_opt"`
	StopGrace   string                                `yaml:"stop_grace_period"`
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Healthcheck *struct {
		Test              []string
		Interval, Timeout string
		Retries           int
		StartPeriod       string `yaml:"start_period"`
	}
	Deploy struct {
		Resources struct {
			Limits struct {
				CPUs   string `yaml:"cpus"`
				Memory string
				PIDs   int `yaml:"pids"`
			}
		}
	}
	Logging struct {
		Driver  string
		Options map[string]string
	}
}

var composeFiles = map[string]string{"deploy/cloud/compose.yaml": cloudImage, "deploy/edge/compose.yaml": edgeImage}

func parseCompose(t *testing.T, file string) compose {
	t.Helper()
	var c compose
	decode(t, file, &c)
	return c
}

// TestOnlyTheGatewayIsBelievedAsAProxy: with a network in its place, whoever is in it could
// say of a request where it is from.
func TestOnlyTheGatewayIsBelievedAsAProxy(t *testing.T) {
	var c struct {
		Web struct {
			Proxies []string `yaml:"behind_proxy"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/cloud/collector.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	n := parseCompose(t, "deploy/cloud/compose.yaml").Networks["default"].IPAM.Config
	if len(n) != 1 || !slices.Equal(c.Web.Proxies, []string{n[0].Gateway}) {
		t.Errorf("the collector believes %v, and the networks are %v", c.Web.Proxies, n)
	}
}

func TestComposeServicesAreBoundAndBounded(t *testing.T) {
	loopback := regexp.MustCompile(`^(127\.0\.0\.1|\$\{ANDON_BROKER_BIND:-127\.0\.0\.1\}):(\d+):(\d+)$`)
	for file, dockerfile := range composeFiles {
		for name, s := range parseCompose(t, file).Services {
			at := file + ": " + name
			for _, p := range s.Ports {
				if m := loopback.FindStringSubmatch(p); m == nil || m[2] != m[3] {
					t.Errorf("%s: port %s is not on loopback by default", at, p)
				}
			}
			if l := s.Deploy.Resources.Limits; l.CPUs == "" || l.Memory == "" || l.PIDs == 0 {
				t.Errorf("%s has no limits: %+v", at, l)
			}
			if s.Restart != "unless-stopped" || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) || s.Logging.Options["max-size"] == "" {
				t.Errorf("%s lacks its restart policy, its security options or a bound of its logs", at)
			}
			if s.Build == nil {
				if !regexp.MustCompile(`^[a-z]+:\d+$`).MatchString(s.Image) {
					t.Errorf("%s: the image %s has no version", at, s.Image)
				}
				continue
			}
			if filepath.Join(filepath.Dir(file), s.Build.Context) != "." || s.Build.Dockerfile != dockerfile {
				t.Errorf("%s is built from %+v", at, s.Build)
			}
			if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) {
				t.Errorf("%s may write to its image, or has capabilities", at)
			}
		}
	}
}

// certificates is where the example configurations have theirs; in a container a folder of
// the host, so that files which are replaced there are seen.
const certificates = "/etc/andon/certificates"

var certificateFolders = map[string]bool{"./secrets/broker": true, "./secrets/collector": true}

// TestComposeFitsImagesAndExamples checks what a container finds: its command, its
// configuration, its folders and its secrets.
func TestComposeFitsImagesAndExamples(t *testing.T) {
	for file, dockerfile := range composeFiles {
		c, i := parseCompose(t, file), parseImage(t, dockerfile)
		for name, s := range c.Services {
			at := file + ": " + name
			for _, v := range s.Volumes {
				from, to, _ := strings.Cut(v, ":")
				if to == certificates+":ro" && certificateFolders[from] {
					continue
				}
				if to, ro := strings.CutSuffix(to, ":ro"); strings.HasPrefix(from, "./") {
					if want := i.configs()[to]; !ro || want != path.Join(path.Dir(file), from) {
						t.Errorf("%s: %s is put over %s", at, v, want)
					}
				} else if _, ok := c.Volumes[from]; !ok {
					t.Errorf("%s: the volume %s is not declared", at, from)
				}
			}
			for _, secret := range s.Secrets {
				if c.Secrets[secret].File != "./secrets/"+secret {
					t.Errorf("%s: the secret %s is in %q", at, secret, c.Secrets[secret].File)
				}
			}
			for other := range s.DependsOn {
				if _, ok := c.Services[other]; !ok {
					t.Errorf("%s depends on %s, which is not there", at, other)
				}
			}
			if s.Build == nil {
				continue
			}
			command := append(i.exec(t, "ENTRYPOINT"), s.Command...)
			if i.binaries()[command[0]] == "" || i.configs()[command[len(command)-1]] == "" {
				t.Errorf("%s runs %q, which the image does not hold", at, command)
			}
			if h := s.Healthcheck; h != nil && i.binaries()[h.Test[1]] == "" {
				t.Errorf("%s is checked with %q, which the image does not hold", at, h.Test)
			}
		}
	}
}

// example is what the consistency checks read of the example configurations.
type example struct {
	Listen string
	Data   string
	HostID string `yaml:"host_id"`
	MQTT   struct{ URL string }
	HTTP   struct{ Listen string }
	Limits struct {
		QueueBytes string `yaml:"queue_bytes"`
	}
	Database struct {
		DSNFrom struct{ File string } `yaml:"dsn_from"`
	}
}

func parseExample(t *testing.T, file string) (e example) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, file)), &e); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return e
}

// TestExamplesFitEachOther follows each address and path from one file to the next.
func TestExamplesFitEachOther(t *testing.T) {
	agent, broker := parseExample(t, "deploy/edge/agent.yaml"), parseExample(t, "deploy/cloud/broker.yaml")
	collector := parseExample(t, "deploy/cloud/collector.yaml")
	cloud, edge := parseCompose(t, "deploy/cloud/compose.yaml"), parseCompose(t, "deploy/edge/compose.yaml")
	unit := parseUnit(t, agentUnit)

	same := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	same("agent's broker is the published port", agent.MQTT.URL, "mqtts://127.0.0.1:8883")
	same("the published port is the broker's", cloud.Services["broker"].Ports[0], "${ANDON_BROKER_BIND:-127.0.0.1}:8883:8883")
	same("broker listens in its container", broker.Listen, "0.0.0.0:8883")
	same("collector's broker is the service", collector.MQTT.URL, "mqtts://broker:8883")
	for name, from := range map[string]string{"broker": "./secrets/broker", "collector": "./secrets/collector"} {
		s := cloud.Services[name]
		same(name+" has its certificates", slices.Contains(s.Volumes, from+":"+certificates+":ro"), true)
	}
	same("collector's DSN is the secret", collector.Database.DSNFrom.File, "/run/secrets/"+cloud.Services["collector"].Secrets[0])
	same("agent's folder in the container", edge.Services["agent"].Volumes[1], "data:"+agent.Data)
	same("agent's folder in its image", all(parseImage(t, edgeImage).final, "VOLUME")[0].text, agent.Data)
	same("agent's folder under systemd", "/var/lib/"+unit["StateDirectory"][0], agent.Data)
	same("agent is on the host's network", edge.Services["agent"].NetworkMode, "host")
	same("agent speaks HTTP on loopback", agent.HTTP.Listen, "127.0.0.1:9101")
	for name, e := range map[string]example{"broker": broker, "collector": collector} {
		port := strings.TrimPrefix(e.HTTP.Listen, "0.0.0.0:")
		s := cloud.Services[name]
		same(name+"'s health check asks its port", s.Healthcheck.Test[len(s.Healthcheck.Test)-1], "http://127.0.0.1:"+port)
		same(name+"'s HTTP port is published", slices.Contains(s.Ports, "127.0.0.1:"+port+":"+port), true)
	}
	// What the broker sets itself as its limit, and some room.
	queue, err := strconv.Atoi(strings.TrimSuffix(broker.Limits.QueueBytes, "MiB"))
	memory, err2 := strconv.Atoi(strings.TrimSuffix(cloud.Services["broker"].Deploy.Resources.Limits.Memory, "m"))
	if err != nil || err2 != nil || memory < queue*3/2+256+100 {
		t.Errorf("the broker has %d MiB, and queues of %d MiB (%v, %v)", memory, queue, err, err2)
	}
}

// makeSecrets runs the script and returns the folder that it made.
func makeSecrets(t *testing.T, names ...string) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "secrets")
	cmd := exec.Command(filepath.Join(root, "deploy/cloud/make-secrets"), append([]string{folder}, names...)...)
	cmd.Env = append(os.Environ(), "ANDON_BROKER="+filepath.Join(bin, "andon-broker"))
	if r := run(t, cmd); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	return folder
}

func TestMakeSecrets(t *testing.T) {
	folder := makeSecrets(t, "broker.plant.example", "192.0.2.5")
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is open: %v, %v", info.Mode(), err)
	}
	c := parseCompose(t, "deploy/cloud/compose.yaml")
	secrets := map[string]string{}
	for name, s := range c.Secrets {
		b, err := os.ReadFile(filepath.Join(folder, filepath.Base(s.File)))
		if err != nil {
			t.Fatal(err)
		}
		secrets[name] = strings.TrimSpace(string(b))
	}
	dsn, err := pgx.ParseConfig(secrets["andon_dsn"])
	if err != nil {
		t.Fatal(err)
	}
	env := c.Services["postgres"].Environment
	if dsn.Password != secrets["postgres_password"] || len(dsn.Password) < 32 || dsn.User != env["POSTGRES_USER"] ||
		dsn.Database != env["POSTGRES_DB"] || dsn.Host != "postgres" || dsn.Port != 5432 {
		t.Errorf("the connection string is for %s@%s:%d/%s", dsn.User, dsn.Host, dsn.Port, dsn.Database)
	}
	r := run(t, exec.Command(filepath.Join(root, "deploy/cloud/make-secrets"), folder))
	if r.code != 1 || !strings.Contains(r.errors, "there already") {
		t.Errorf("a second run: %+v", r)
	}
	for _, name := range []string{"broker", "localhost", "127.0.0.1", "broker.plant.example", "192.0.2.5"} {
		if err := leaf(t, filepath.Join(folder, "broker", "broker")).VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	leaf(t, filepath.Join(folder, "collector", "main"))
	cell := filepath.Join(folder, "cell-07", "cell.pem")
	if _, err := tls.LoadX509KeyPair(cell, cell); err != nil {
		t.Error(err)
	}
	for _, file := range []string{"broker/broker.key", "broker/revoked.crl", "collector/ca.crt", "cell-07/ca.crt"} {
		if info, err := os.Stat(filepath.Join(folder, file)); err != nil || info.Mode().Perm() != 0o444 {
			t.Errorf("the container's user cannot read %s: %v", file, err)
		}
	}
	if info, err := os.Stat(filepath.Join(folder, "authority")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the authority is open: %v", err)
	}
}

// leaf returns the certificate of a pair of files, which fit each other.
func leaf(t *testing.T, pair string) *x509.Certificate {
	t.Helper()
	c, err := tls.LoadX509KeyPair(pair+".crt", pair+".key")
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf
}
