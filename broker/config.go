package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/shared/config"
	"andon.internal/shared/mtls"
	"andon.internal/shared/ops"
)

// Config is broker.yaml. Start from [DefaultConfig].
type Config struct {
	// Listen is the address of the MQTT port: 127.0.0.1:1883. Port 0 takes a free
	// one. Beyond loopback it needs TLS, or Plaintext.
	Listen string `yaml:"listen"`
	// Plaintext allows a port beyond loopback without TLS, where everybody who reaches it
	// may read and publish everything: for an isolated network of one machine, such as
	// that of its containers.
	Plaintext bool `yaml:"plaintext"`
	// TLS makes the port one for TLS 1.3 alone, on which every client shows a
	// certificate; what it may do follows from who that says it is, see broker/access.
	TLS mtls.Config `yaml:"tls"`
	// Holders say who holds certificates that were not issued by andon-broker ca.
	Holders []Holder `yaml:"holders"`

	Limits Limits         `yaml:"limits"`
	HTTP   ops.HTTPConfig `yaml:"http"`
	Log    ops.LogConfig  `yaml:"log"`

	Logger   *slog.Logger         // nil: nothing is logged
	Registry *prometheus.Registry // nil: a new one
}

// Limits are the broker's bounds.
type Limits struct {
	// MaxPacket is the largest MQTT packet: 512KiB. A cell's messages have at most
	// 256KiB and an envelope.
	MaxPacket config.Size `yaml:"max_packet"`
	// ReceiveBytes bounds the packets that are coming in, by the sizes that they say: 64MiB;
	// those below 32KiB are not counted. Beyond it the session whose packet has taken longest
	// is ended, so that half packets that never end take no more memory.
	ReceiveBytes config.Size `yaml:"receive_bytes"`
	// MaxConnectPacket is the largest CONNECT, with will, name and password: 16KiB.
	// Nothing larger is given memory before a client has said who it is.
	MaxConnectPacket config.Size `yaml:"max_connect_packet"`
	// ConnectTimeout is how long a new connection has for its TLS handshake and its
	// CONNECT together: 5s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// MaxConnections counts all connections: 4096.
	MaxConnections int `yaml:"max_connections"`
	// MaxConnectionsPerIP counts those of one address (in IPv6 one /64), loopback
	// excepted: 256.
	MaxConnectionsPerIP int `yaml:"max_connections_per_ip"`
	// MaxConnectionsPerIdentity counts those that show one certificate, or another of
	// the same holder: 32. Beyond it the oldest of them is ended.
	MaxConnectionsPerIdentity int `yaml:"max_connections_per_identity"`
	// MaxPending counts the connections that have no session yet: 512. Beyond it the one
	// that has waited longest is closed, so that who only opens connections keeps nobody out.
	MaxPending int `yaml:"max_pending"`
	// MaxPacketRate is how many packets a second one identity may send: 10000; without
	// TLS one connection. Beyond it the broker reads more slowly, and loses nothing. A
	// packet whose request is refused counts for ten.
	MaxPacketRate int `yaml:"max_packet_rate"`
	// MaxByteRate is how many bytes a second, likewise: 64MiB, some 100,000 readings of 24
	// signals, so that a backlog comes home.
	MaxByteRate config.Size `yaml:"max_byte_rate"`
	// KeepaliveMax replaces a keepalive that is 0 (none) or longer: 60s, whole
	// seconds. A client is dropped after 1.5 times its keepalive without a byte.
	KeepaliveMax time.Duration `yaml:"keepalive_max"`
	// WriteTimeout is how long a reader may leave one write standing before its
	// connection is closed: 10s. It also bounds how long a stuck reader at QoS 1
	// can hold up those who publish to it.
	WriteTimeout time.Duration `yaml:"write_timeout"`
	// ClientQueue is how many messages may wait for one reader: 8192.
	ClientQueue int `yaml:"client_queue"`
	// ClientQueueBytes is how many bytes may wait for one reader: 128MiB.
	ClientQueueBytes config.Size `yaml:"client_queue_bytes"`
	// QueueBytes is how many bytes may wait for all readers together: 512MiB.
	// Beyond it, readers that hold more than their fair share lose messages.
	QueueBytes config.Size `yaml:"queue_bytes"`
	// MaxInflight is how many QoS 1 and 2 messages may wait for one reader's
	// acknowledgement: 64.
	MaxInflight int `yaml:"max_inflight"`
	// MaxSubscriptions counts the topic filters of one client: 64.
	MaxSubscriptions int `yaml:"max_subscriptions"`
	// MaxRetained counts the retained messages: 1024. Beyond it messages pass
	// through but are not retained.
	MaxRetained int `yaml:"max_retained"`
	// MaxRetainedSize is the largest payload that is retained: 64KiB.
	MaxRetainedSize config.Size `yaml:"max_retained_size"`
}

// Bounds that nobody has a reason to change.
const (
	maxClientID    = 256  // bytes
	maxTopic       = 1024 // bytes of a topic or filter
	maxTopicLevels = 32   // the library's time for a topic grows with their square
	stopTimeout    = 5 * time.Second
	// takeOverTimeout is how long a client waits for the end of another of its id.
	takeOverTimeout = time.Second
	readBuffer      = 16 << 10
	writeBuffer     = 64 << 10
	sysInterval     = 10 // seconds between $SYS messages
)

// DefaultConfig returns the documented defaults.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:1883",
		Limits: Limits{
			MaxPacket:                 512 << 10,
			ReceiveBytes:              64 << 20,
			MaxConnectPacket:          16 << 10,
			ConnectTimeout:            5 * time.Second,
			MaxConnections:            4096,
			MaxConnectionsPerIP:       256,
			MaxConnectionsPerIdentity: 32,
			MaxPending:                512,
			MaxPacketRate:             10_000,
			MaxByteRate:               64 << 20,
			KeepaliveMax:              60 * time.Second,
			WriteTimeout:              10 * time.Second,
			ClientQueue:               8192,
			ClientQueueBytes:          128 << 20,
			QueueBytes:                512 << 20,
			MaxInflight:               64,
			MaxSubscriptions:          64,
			MaxRetained:               1024,
			MaxRetainedSize:           64 << 10,
		},
		HTTP: ops.HTTPConfig{Listen: "127.0.0.1:0"},
	}
}

// Check returns every fault of the configuration, joined.
func (c *Config) Check() error {
	var errs []error
	if host, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, config.At("listen", fmt.Errorf("%q must be host:port, such as 127.0.0.1:1883", c.Listen)))
	} else if err := mtls.CheckReach(host, c.TLS.On(), c.Plaintext); err != nil {
		errs = append(errs, config.At("listen", err))
	}
	if len(c.Holders) > 0 && !c.TLS.On() {
		errs = append(errs, config.At("holders", errors.New("are known by their certificates: tls is required")))
	}
	seen := map[string]bool{}
	for i := range c.Holders {
		if name := c.Holders[i].Certificate; seen[name] {
			errs = append(errs, config.At("holders", fmt.Errorf("the certificate %q is named twice", name)))
		}
		seen[c.Holders[i].Certificate] = true
	}
	return errors.Join(errs...)
}

// Check returns every fault of the limits, joined.
func (l *Limits) Check() error {
	var errs []error
	between := func(key string, n, low, high int64, show func(int64) string) {
		if n < low || n > high {
			errs = append(errs, config.At(key, fmt.Errorf("must be between %s and %s", show(low), show(high))))
		}
	}
	bytes := func(n int64) string { return config.Size(n).String() }
	count := func(n int64) string { return fmt.Sprint(n) }
	span := func(n int64) string { return time.Duration(n).String() }

	between("max_packet", int64(l.MaxPacket), 1<<10, 128<<20, bytes)
	between("receive_bytes", int64(l.ReceiveBytes), 1<<10, 1<<40, bytes)
	between("max_connect_packet", int64(l.MaxConnectPacket), 256, 1<<20, bytes)
	between("connect_timeout", int64(l.ConnectTimeout), int64(100*time.Millisecond), int64(time.Minute), span)
	between("max_connections", int64(l.MaxConnections), 1, 1<<20, count)
	between("max_connections_per_ip", int64(l.MaxConnectionsPerIP), 1, 1<<20, count)
	between("max_connections_per_identity", int64(l.MaxConnectionsPerIdentity), 1, 1<<20, count)
	between("max_pending", int64(l.MaxPending), 1, 1<<20, count)
	between("max_packet_rate", int64(l.MaxPacketRate), 1, 1<<30, count)
	between("max_byte_rate", int64(l.MaxByteRate), 1<<10, 1<<40, bytes)
	between("keepalive_max", int64(l.KeepaliveMax), int64(time.Second), int64(time.Hour), span)
	between("write_timeout", int64(l.WriteTimeout), int64(100*time.Millisecond), int64(time.Minute), span)
	between("client_queue", int64(l.ClientQueue), 1, 1<<20, count)
	between("client_queue_bytes", int64(l.ClientQueueBytes), 1<<10, 1<<40, bytes)
	between("queue_bytes", int64(l.QueueBytes), 1<<10, 1<<40, bytes)
	between("max_inflight", int64(l.MaxInflight), 1, 65535, count)
	between("max_subscriptions", int64(l.MaxSubscriptions), 1, 1<<20, count)
	between("max_retained", int64(l.MaxRetained), 0, 1<<20, count)
	between("max_retained_size", int64(l.MaxRetainedSize), 0, 128<<20, bytes)
	if l.KeepaliveMax%time.Second != 0 {
		errs = append(errs, config.At("keepalive_max", errors.New("must be whole seconds: MQTT knows no parts")))
	}
	return errors.Join(errs...)
}

// exposed reports whether others than this machine reach the port without TLS.
func (c *Config) exposed() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	return err == nil && !c.TLS.On() && !ops.Local(host)
}

// Load reads a broker.yaml over the defaults. The error names every fault with its line.
func Load(path string) (Config, error) {
	c := DefaultConfig()
	err := config.Load(path, &c)
	return c, err
}
