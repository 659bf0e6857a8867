package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sys/unix"

	"andon.internal/agent/identity"
	"andon.internal/agent/source"
	"andon.internal/shared/mtls"
	"andon.internal/shared/ops"
	"andon.internal/shared/profiles"
	"andon.internal/shared/sparkplug"
)

// Finding is what Check found of one thing.
type Finding struct {
	Name string // such as "broker", or "source line1"
	Note string // what was found, where Err is nil
	Err  error
}

// Check tries what a configuration names: it loads the profiles, looks at the data
// folder, opens each source once and connects to the broker under a name of its
// own. It changes nothing, and may be used beside a running agent.
func Check(ctx context.Context, cfg Config) ([]Finding, error) {
	a, err := New(cfg)
	if err != nil {
		return nil, err
	}
	known, err := profiles.All(cfg.Profiles)
	all := []Finding{{"profiles", profiles.Names(known), err}, tryFolder(string(cfg.Data))}
	var sources []source.Source
	if err == nil {
		if sources, err = a.sources(known); err != nil {
			all = append(all, Finding{Name: "sources", Err: err})
		}
	}
	for i, s := range sources {
		all = append(all, trySource(ctx, cfg.Sources[i], s))
	}
	if cfg.MQTT.TLS.On() {
		all = append(all, tryCertificate(&cfg))
	}
	return append(all, tryBroker(ctx, &cfg)), nil
}

// tryFolder looks whether the data folder is there, or can be made.
func tryFolder(dir string) Finding {
	f := Finding{Name: "data"}
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		f.Err = fmt.Errorf("%s is not a folder", dir)
	case err == nil:
		f.Note, f.Err = dir, writable(dir)
	case errors.Is(err, os.ErrNotExist):
		above := filepath.Dir(filepath.Clean(dir))
		for _, err := os.Stat(above); err != nil && above != filepath.Dir(above); _, err = os.Stat(above) {
			above = filepath.Dir(above)
		}
		f.Note, f.Err = dir+" (will be made)", writable(above)
	default:
		f.Err = err
	}
	return f
}

func writable(dir string) error {
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("write to %s: %w", dir, err)
	}
	return nil
}

func trySource(ctx context.Context, cfg SourceConfig, s source.Source) Finding {
	f := Finding{Name: "source " + cfg.Name, Note: "opens (" + cfg.Driver + ")"}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if f.Err = s.Open(ctx, source.Resume{}); f.Err == nil {
		f.Err = s.Close()
	}
	return f
}

// tryCertificate looks at what the cell shows.
func tryCertificate(cfg *Config) Finding {
	f := Finding{Name: "certificate"}
	store, err := mtls.Open(cfg.MQTT.TLS, mtls.Options{})
	if err != nil {
		f.Err = err
		return f
	}
	f.Note = "good until " + store.Leaf().NotAfter.UTC().Format(time.RFC3339)
	if cfg.MQTT.Enroll.URL != "" {
		f.Note += ", renewed at " + identity.Due(store.Leaf()).UTC().Format(time.RFC3339)
	}
	f.Err = identity.NewKeeper(identity.KeeperOptions{Store: store, URL: cfg.MQTT.Enroll.URL, Now: ops.Now}).Check()
	return f
}

// brokerPatience is how long the broker may take to answer.
const brokerPatience = 5 * time.Second

func tryBroker(ctx context.Context, cfg *Config) Finding {
	address := cfg.MQTT.URL
	f := Finding{Name: "broker", Note: address + " answers"}
	certificates, err := mtls.OpenIf(cfg.MQTT.TLS, mtls.Options{})
	if err != nil {
		f.Err = err
		return f
	}
	client := paho.NewClient(paho.NewClientOptions().
		AddBroker(address).SetClientID(sparkplug.ClientPrefix(cfg.Group, cfg.Node) + "check-" + rand.Text()).
		SetProtocolVersion(4).SetCleanSession(true).
		SetAutoReconnect(false).SetConnectRetry(false).
		SetConnectTimeout(brokerPatience).
		SetCustomOpenConnectionFn(func(u *url.URL, _ paho.ClientOptions) (net.Conn, error) {
			return dialBroker(ctx, u.Host, certificates)
		}))
	token := client.Connect()
	late := time.NewTimer(2 * brokerPatience) // dialling, and the handshake
	defer late.Stop()
	select {
	case <-token.Done():
		f.Err = token.Error()
	case <-ctx.Done():
		f.Err = ctx.Err()
	case <-late.C:
		f.Err = errors.New("does not answer")
	}
	if f.Err != nil {
		f.Err = fmt.Errorf("connect to %s: %w", address, f.Err)
	}
	client.Disconnect(100)
	return f
}

// dialBroker opens a connection, within TLS where there are certificates.
func dialBroker(ctx context.Context, host string, certificates *mtls.Store) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, brokerPatience)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	secured, err := certificates.Secure(ctx, c, host)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return secured, nil
}

// Failed returns an error that counts the findings that are faults, or nil.
func Failed(all []Finding) error {
	n := 0
	for _, f := range all {
		if f.Err != nil {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return ops.Hint(fmt.Errorf("%d of the checks failed", n),
		"the agent also starts without its broker, and waits for sources that do not open")
}
