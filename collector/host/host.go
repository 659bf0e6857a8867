// Package host is the collector's connection to the broker: a Sparkplug host
// application over MQTT 3.1.1.
//
// It stands between the broker and the roles of a collector, which share its one subscription. It promises that a lost connection is
// made again, for ever and with jittered backoff; that every attempt is a fresh
// client with a fresh will; that while the host is announced as online the retained
// STATE message says so, and says otherwise when the process is gone; and that a
// role never waits for the network inside the receiving path.
package host

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	mqtt "github.com/eclipse/paho.mqtt.golang"

	"andon.internal/shared/mtls"
	"andon.internal/shared/sparkplug"
)

// ErrOffline is returned for a message that cannot be sent because there is no
// connection. The message is gone.
var ErrOffline = errors.New("not connected to the broker")

// The times of the MQTT session.
const (
	keepAlive      = 10 * time.Second
	pingTimeout    = 5 * time.Second
	connectTimeout = 5 * time.Second
	writeTimeout   = 5 * time.Second
	answerTimeout  = 5 * time.Second // for SUBACK and PUBACK
	goodbyeTimeout = time.Second
	retryMin       = 100 * time.Millisecond
	retryMax       = 10 * time.Second
	// quietAfter is how long nothing may come until the host says STATE to hear itself, and as
	// much later the connection is given up.
	quietAfter = 8 * time.Second
	// steady is how long a connection must have lasted for the backoff to start again.
	steady = 10 * time.Second
)

// Message is what came from the broker.
type Message struct {
	Topic    string
	Payload  []byte // the receiver's own
	Retained bool   // kept by the broker, not sent now
	Received time.Time
}

// Config configures a Host.
type Config struct {
	// URL is the broker's address: tcp://host:port (or mqtt://); mqtts:// with TLS.
	URL string
	// TLS is who the collector is, and whom it trusts; nil: plain MQTT.
	TLS *mtls.Store
	// HostID is the Sparkplug host id whose STATE the host publishes once it is
	// announced. Empty: no STATE, and Run connects at once.
	HostID string
	// Filters are the topic filters to subscribe, with their QoS; see [Filters].
	Filters map[string]byte
	// Receive is called with every message, in order, from one goroutine. It must
	// not block, and must not call methods of the Host.
	Receive func(Message)
	// Connected, if set, is called for every new connection before a message of it
	// is received. It must not block.
	Connected func()
	Logger    *slog.Logger // default: none
	Metrics   *Metrics     // default: counts, unregistered
}

// Filters returns what a collector subscribes: everything that nodes send. Data
// travels with QoS 0; a death is a will of QoS 1.
func Filters() map[string]byte {
	return map[string]byte{
		sparkplug.Namespace + "/+/NBIRTH/+":   0,
		sparkplug.Namespace + "/+/NDATA/+":    0,
		sparkplug.Namespace + "/+/NDEATH/+":   1,
		sparkplug.Namespace + "/+/DBIRTH/+/+": 0,
		sparkplug.Namespace + "/+/DDATA/+/+":  0,
		sparkplug.Namespace + "/+/DDEATH/+/+": 0,
	}
}

// Host is a connection to the broker that is made again whenever it is lost. All
// methods are safe for concurrent use.
type Host struct {
	config  Config
	address string // host:port
	log     *slog.Logger
	metrics *Metrics

	decided   chan struct{} // closed by the first Announce
	once      sync.Once
	online    atomic.Bool
	changed   chan struct{}                         // capacity 1: Announce changed online
	corrupt   chan int64                            // capacity 1: the STATE topic says offline, of this timestamp
	born      atomic.Int64                          // the timestamp of the connection's STATE, in ms
	heard     atomic.Int64                          // when a message came last, in unix ns
	quiet     time.Duration                         // quietAfter
	clock     func() time.Time                      // time.Now
	newClient func(*mqtt.ClientOptions) mqtt.Client // mqtt.NewClient
	floor     int64                                 // the lowest timestamp for the next STATE; of Run alone
	mu        sync.Mutex
	client    mqtt.Client // nil without a connection
	offline   error       // why nothing is received; nil while it is
	attempts  int         // failed since the last connection
}

// New checks the configuration and returns a Host for [Host.Run].
func New(c Config) (*Host, error) {
	address, err := parseURL(c.URL, c.TLS != nil)
	if err != nil {
		return nil, err
	}
	if c.Receive == nil || len(c.Filters) == 0 {
		return nil, errors.New("make host: Receive and Filters are required")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	return &Host{
		config: c, address: address, log: c.Logger, metrics: c.Metrics,
		decided: make(chan struct{}), changed: make(chan struct{}, 1), corrupt: make(chan int64, 1),
		offline: errors.New("has not connected yet"), quiet: quietAfter,
		clock: time.Now, newClient: mqtt.NewClient,
	}, nil
}

// CheckURL returns an error when Run could not use the address; secure says that there
// are certificates.
func CheckURL(address string, secure bool) error {
	_, err := parseURL(address, secure)
	return err
}

func parseURL(address string, secure bool) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("%s must be tcp://host:port", mtls.ShowURL(address))
	}
	if err := mtls.CheckURL(u, secure); err != nil {
		return "", err
	}
	port := u.Port()
	if port == "" {
		port = "1883"
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// Announce says whether this process is the active host application. The first
// call lets Run connect; a change afterwards makes it connect anew, because the will
// belongs to the connection.
func (h *Host) Announce(online bool) {
	if h.online.Swap(online) != online {
		select {
		case h.changed <- struct{}{}:
		default:
		}
	}
	h.once.Do(func() { close(h.decided) })
}

// Connected returns nil, or why there is no connection.
func (h *Host) Connected() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.offline
}

// Publish sends a message with QoS 0, not retained, and returns [ErrOffline] when
// there is no connection. It waits for the writes before it, at most five seconds;
// a nil error promises nothing. The payload must not be changed afterwards.
func (h *Host) Publish(topic string, payload []byte) error {
	return h.publish(topic, 0, payload)
}

func (h *Host) publish(topic string, qos byte, payload []byte) error {
	h.mu.Lock()
	c := h.client
	h.mu.Unlock()
	if c == nil {
		return ErrOffline
	}
	token := c.Publish(topic, qos, false, payload)
	select {
	case <-token.Done():
		if err := token.Error(); err != nil {
			return fmt.Errorf("publish to %s: %w", topic, err)
		}
	default: // being written
	}
	h.metrics.sent.Inc()
	return nil
}

// Send is [Host.Publish] with QoS 1, for messages that the broker is to have. It does
// not wait for the broker's answer either: what must arrive is sent again.
func (h *Host) Send(topic string, payload []byte) error {
	return h.publish(topic, 1, payload)
}

// Run keeps the connection until ctx ends, says goodbye and returns nil.
func (h *Host) Run(ctx context.Context) error {
	if h.config.HostID != "" {
		select {
		case <-h.decided:
		case <-ctx.Done():
			return nil
		}
	}
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(retryMin),
		backoff.WithMaxInterval(retryMax), backoff.WithMaxElapsedTime(0))
	for ctx.Err() == nil {
		began := time.Now()
		err := h.connection(ctx)
		if errors.Is(err, errAnnounced) || time.Since(began) >= steady {
			wait.Reset()
		}
		if err == nil || errors.Is(err, errAnnounced) {
			continue
		}
		h.failed(err)
		select {
		case <-time.After(wait.NextBackOff()):
		case <-ctx.Done():
		}
	}
	return nil
}

// failed notes and logs why there is no connection, not more often than it doubles.
func (h *Host) failed(err error) {
	h.metrics.failures.Inc()
	h.mu.Lock()
	h.offline = err
	h.attempts++
	n := h.attempts
	h.mu.Unlock()
	if n&(n-1) == 0 {
		h.log.Warn("broker is not reached", "broker", h.address, "error", err, "attempts", n)
	}
}

// use makes c what Publish publishes to.
func (h *Host) use(c mqtt.Client) {
	h.mu.Lock()
	h.client = c
	h.mu.Unlock()
}

func (h *Host) up() {
	h.mu.Lock()
	n := h.attempts
	h.offline, h.attempts = nil, 0
	h.mu.Unlock()
	h.metrics.connects.Inc()
	h.metrics.connected.Set(1)
	h.log.Info("connected to the broker", "broker", h.address, "failed_attempts", n)
}

func (h *Host) down(why error) {
	if why == nil {
		why = errors.New("has stopped")
	}
	h.mu.Lock()
	h.offline = why
	h.mu.Unlock()
	h.metrics.connected.Set(0)
}

// clientID is new for every connection: a broker that still holds a dead one under
// the same name would delay us. Brokers must take 23 bytes.
func clientID() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return "andon-host-" + hex.EncodeToString(b[:])
}
