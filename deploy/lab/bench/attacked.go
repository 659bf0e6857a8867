package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"andon.internal/lab/process"
	"andon.internal/shared/freeport"
	"andon.internal/shared/siege"
)

// attacked is a broker under attack: the real binary, in a process of its own.
type attacked struct {
	bin, dir   string
	people     *people // nil: without TLS
	mqtt, http string  // its addresses
	process    *process.Process
}

// people are the certificates of everybody in a siege, made by andon-broker ca.
type people struct {
	dir   string
	known map[siege.Who]*tls.Config
}

func (p *people) as(w siege.Who) *tls.Config { return p.known[w] }

// certify makes them.
func certify(ctx context.Context, bin, dir string, cells int) (*people, error) {
	p := &people{filepath.Join(dir, "certificates"), map[siege.Who]*tls.Config{}}
	ca := func(args ...string) error {
		args = append([]string{"ca", args[0], "--dir", p.dir}, args[1:]...)
		if out, err := exec.CommandContext(ctx, filepath.Join(bin, "andon-broker"), args...).CombinedOutput(); err != nil {
			return fmt.Errorf("andon-broker %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
		return nil
	}
	err := errors.Join(ca("init", "--name", "siege"), ca("broker", "--host", "127.0.0.1", "--out", p.dir),
		ca("issue", "--collector", string(siege.Plant), "--out", p.dir), ca("issue", "--viewer", string(siege.Onlooker), "--out", p.dir))
	who := []siege.Who{siege.Plant, siege.Onlooker, siege.Rogue}
	for i := range cells {
		who = append(who, siege.Cell(i))
	}
	for _, w := range who[2:] {
		err = errors.Join(err, ca("issue", "--node", string(w), "--group", siege.Group, "--out", p.dir))
	}
	if err != nil {
		return nil, err
	}
	root, err := os.ReadFile(filepath.Join(p.dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	stranger := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: "127.0.0.1"}
	p.known[siege.Stranger] = stranger
	for _, w := range who {
		c := stranger.Clone()
		pair, err := tls.LoadX509KeyPair(filepath.Join(p.dir, string(w)+".crt"), filepath.Join(p.dir, string(w)+".key"))
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
		p.known[w] = c
	}
	return p, nil
}

// start runs the broker until it is ready.
func (b *attacked) start(ctx context.Context) error {
	address := func() (string, error) {
		port, err := freeport.Take()
		return "127.0.0.1:" + strconv.Itoa(port), err
	}
	var err, err2 error
	b.mqtt, err = address()
	b.http, err2 = address()
	if err = errors.Join(err, err2); err != nil {
		return err
	}
	config := fmt.Sprintf("listen: %s\nhttp: {listen: %q}\n", b.mqtt, b.http)
	if b.people != nil {
		d := b.people.dir
		config += fmt.Sprintf("tls: {ca: %q, cert: %q, key: %q, crl: %q}\n", d+"/ca.crt", d+"/broker.crt", d+"/broker.key", d+"/revoked.crl")
	}
	file := filepath.Join(b.dir, "broker.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	log := filepath.Join(b.dir, "broker.log")
	b.process = process.New(process.Spec{
		Name: "broker", Path: filepath.Join(b.bin, "andon-broker"), Args: []string{"run", "--config", file}, Log: log,
	})
	if err := b.process.Start(); err != nil {
		return err
	}
	for end := time.Now().Add(10 * time.Second); ; sleep(ctx, 20*time.Millisecond) {
		if _, err = b.get(ctx, "/readyz"); err == nil {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return errors.Join(fmt.Errorf("the broker is not ready: %w: %s", err, process.Tail(log, 5)), b.process.Stop())
		}
	}
}

// stop ends the broker, and tells when it was not the one that was started.
func (b *attacked) stop() error {
	starts := b.process.Status().Starts
	if err := b.process.Stop(); err != nil {
		return err
	}
	if starts != 1 {
		return errors.New("the broker died and was started again")
	}
	return nil
}

// get asks the broker over HTTP and returns the lines of its answer.
func (b *attacked) get(ctx context.Context, path string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.http+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", path, res.Status)
	}
	var lines []string
	s := bufio.NewScanner(res.Body)
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	return lines, s.Err()
}

// counter returns the sum of the metric that tells of an attack.
func (b *attacked) counter(ctx context.Context, a *siege.Attack) (sum float64, err error) {
	lines, err := b.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for _, line := range lines {
		series, value, ok := strings.Cut(line, " ")
		name, labels, _ := strings.Cut(series, "{")
		if !ok || name != "andon_broker_"+a.Counter || !strings.Contains(labels, a.Label) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("read metric %s: %w", name, err)
		}
		sum += v
	}
	return sum, nil
}

// peak returns the most memory that the broker's process ever took, in MiB.
func (b *attacked) peak() (float64, error) {
	text := field(fmt.Sprintf("/proc/%d/status", b.process.Status().PID), "VmHWM")
	kib, err := strconv.ParseFloat(strings.TrimSuffix(text, " kB"), 64)
	if err != nil {
		return 0, fmt.Errorf("read the memory of the broker: %w", err)
	}
	return kib / 1024, nil
}
