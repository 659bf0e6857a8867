package deployment_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/shared/freeport"
	"andon.internal/shared/pgserver"
)

// container is a folder laid out as an image. As root, programs run in it as they do
// in a container: with nothing else in sight and as the image's user. Otherwise they
// run beside it, with their paths led into it.
type container struct {
	image
	dir      string
	uid, gid uint32
}

// newContainer lays an image out. addresses are put in place of those in its
// configurations; each must be there.
func newContainer(t *testing.T, dockerfile string, addresses map[string]map[string]string) *container {
	t.Helper()
	c := &container{image: parseImage(t, dockerfile)}
	replace := func(name, text string) string {
		for old, with := range addresses[name] {
			if strings.Count(text, ": "+old) != 1 {
				t.Errorf("%s lacks %s", name, old)
			}
			text = strings.Replace(text, ": "+old, ": "+with, 1)
		}
		return text
	}
	c.dir = c.layOut(t, replace)
	user, group, _ := strings.Cut(all(c.final, "USER")[0].text, ":")
	uid, err := strconv.ParseUint(user, 10, 32)
	gid, err2 := strconv.ParseUint(group, 10, 32)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	c.uid, c.gid = uint32(uid), uint32(gid)
	if !c.real() {
		for at := range c.configs() {
			c.put(t, at, strings.NewReplacer(": /var/", ": "+c.dir+"/var/", ": /run/", ": "+c.dir+"/run/").Replace(c.get(t, at)))
		}
		return c
	}
	for _, v := range all(c.final, "VOLUME") {
		if err := os.Chown(filepath.Join(c.dir, v.text), int(c.uid), int(c.gid)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// real reports whether programs run with the folder as their root.
func (c *container) real() bool { return os.Geteuid() == 0 }

func (c *container) put(t *testing.T, at, text string) {
	t.Helper()
	at = filepath.Join(c.dir, at)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// mount puts the files of a folder of the host over one of the container.
func (c *container) mount(t *testing.T, from, to string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(from, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s holds nothing: %v", from, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c.put(t, to+"/"+filepath.Base(file), string(b))
	}
}

func (c *container) get(t *testing.T, at string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(c.dir, at))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// command is a command in the container.
func (c *container) command(words ...string) *exec.Cmd {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if c.real() {
		attr.Chroot = c.dir
		attr.Credential = &syscall.Credential{Uid: c.uid, Gid: c.gid}
	} else {
		for i, w := range words {
			if strings.HasPrefix(w, "/") {
				words[i] = c.dir + w
			}
		}
	}
	return &exec.Cmd{Path: words[0], Args: words, Env: []string{"PATH=/usr/bin"}, Dir: "/", SysProcAttr: attr}
}

// start starts a daemon in the container; the test's end stops it, and wants it to
// stop well.
func (c *container) start(t *testing.T, words ...string) {
	t.Helper()
	cmd := c.command(words...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		var err error
		select {
		case err = <-done:
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			err = errors.Join(errors.New("it does not stop"), <-done)
		}
		if err != nil {
			t.Errorf("%q ended with %v", words, err)
		}
		if t.Failed() {
			t.Logf("%q wrote:\n%s", words, log.String())
		}
	})
}

// freeAddress is an address of loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// ready asks a daemon whether it is ready.
func ready(address string) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + address + "/readyz")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	return err
}

// TestImagesRunTheExamples starts broker, collector and agent from what their images
// hold, with the commands of the compose files and the examples as they stand but for
// the addresses, until readings are in PostgreSQL and the plant is healthy.
func TestImagesRunTheExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a plant")
	}
	pg, err := pgserver.Start(t.Context(), pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Remove(); err != nil {
			t.Error(err)
		}
	})
	mqtt, brokerHTTP, collectorHTTP, agentHTTP := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	cloud := newContainer(t, cloudImage, map[string]map[string]string{
		"broker.yaml":    {"0.0.0.0:8883": mqtt, "0.0.0.0:9102": brokerHTTP},
		"collector.yaml": {"mqtts://broker:8883": "mqtts://" + mqtt, "0.0.0.0:9103": collectorHTTP},
	})
	cloud.put(t, "/run/secrets/andon_dsn", pg.DSN()+"\n")
	edge := newContainer(t, edgeImage, map[string]map[string]string{
		"agent.yaml": {"mqtts://127.0.0.1:8883": "mqtts://" + mqtt, "127.0.0.1:9101": agentHTTP},
	})
	secrets := makeSecrets(t)
	cloud.mount(t, filepath.Join(secrets, "broker"), certificates)
	cloud.mount(t, filepath.Join(secrets, "collector"), certificates)
	edge.mount(t, filepath.Join(secrets, "cell-07"), "/var/lib/andon-agent/tls")

	services := parseCompose(t, "deploy/cloud/compose.yaml").Services
	cloud.start(t, services["broker"].Command...)
	cloud.start(t, services["collector"].Command...)
	eventually(t, "the collector is ready", func() error { return ready(collectorHTTP) })
	agent := append(edge.exec(t, "ENTRYPOINT"), parseCompose(t, "deploy/edge/compose.yaml").Services["agent"].Command...)
	edge.start(t, agent...)
	eventually(t, "the agent is ready", func() error { return ready(agentHTTP) })
	eventually(t, "readings are stored", func() error { return stored(t.Context(), pg.DSN()) })

	// The health checks of the containers, and the look at the whole.
	for name, address := range map[string]string{"broker": brokerHTTP, "collector": collectorHTTP} {
		test := append([]string(nil), services[name].Healthcheck.Test[1:]...)
		test[len(test)-1] = "http://" + address
		if r := run(t, cloud.command(test...)); r.code != 0 {
			t.Errorf("the health check of %s: %+v", name, r)
		}
	}
	const collectorYAML = "/etc/andon/collector.yaml"
	eventually(t, "the plant is healthy", func() error {
		if r := run(t, cloud.command("/usr/bin/andon-collector", "health", "--config", collectorYAML)); r.code != 0 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	for _, check := range []*exec.Cmd{
		cloud.command("/usr/bin/andon-broker", "check", "--config", "/etc/andon/broker.yaml"),
		cloud.command("/usr/bin/andon-collector", "check", "--config", collectorYAML),
		edge.command("/usr/bin/andon-agent", "check", "--config", "/etc/andon/agent.yaml"),
	} {
		if r := run(t, check); r.code != 0 {
			t.Errorf("%q: %+v", check.Args, r)
		}
	}
}

// stored returns nil when readings of the example's cell are in the database.
func stored(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	n := 0
	err = conn.QueryRow(ctx, `SELECT count(*) FROM readings_dyno WHERE (group_id, node_id) = ('austin-line1', 'cell-07')`).Scan(&n)
	if err == nil && n == 0 {
		err = errors.New("none is there")
	}
	return err
}
