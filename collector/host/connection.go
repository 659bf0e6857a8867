package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/url"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"andon.internal/shared/sparkplug"
)

// errUnheard ends a connection by which nothing comes, not even what the host says itself.
var errUnheard = errors.New("the broker takes what is said and delivers nothing that is subscribed")

// errAnnounced ends a connection whose will no longer says the truth.
var errAnnounced = errors.New("the host was announced anew")

// connection is one life of one MQTT client: it returns nil at the end of ctx, or
// why the connection ended.
func (h *Host) connection(ctx context.Context) error {
	for drained := false; !drained; { // what is known of the connection before
		select {
		case <-h.changed:
		case <-h.corrupt:
		default:
			drained = true
		}
	}
	present := h.config.HostID != "" && h.online.Load()
	state := sparkplug.State{Online: true, Timestamp: h.stamp()}
	h.born.Store(state.Timestamp)

	dialed := make(chan net.Conn, 1)
	lost := make(chan error, 1)
	options := h.options(ctx, dialed)
	options.SetConnectionLostHandler(func(_ mqtt.Client, err error) { lost <- err })
	if present {
		will := sparkplug.State{Timestamp: state.Timestamp}
		options.SetBinaryWill(h.stateTopic(), will.Append(nil), 1, true)
	}
	client := h.newClient(options)
	defer func() {
		client.Disconnect(uint(goodbyeTimeout / time.Millisecond))
		select {
		case c := <-dialed:
			_ = c.Close() // a hanging network must not keep its goroutines
		default:
		}
	}()
	if err := finish(ctx, client.Connect(), 2*connectTimeout, "connect"); err != nil {
		return err
	}
	if h.config.Connected != nil {
		h.config.Connected()
	}
	if err := h.subscribe(ctx, client); err != nil {
		return err
	}
	if present {
		if err := h.publishState(ctx, client, state); err != nil && ctx.Err() == nil {
			return err
		}
	}
	h.use(client) // the host's first message is its STATE; what is owed is said again
	defer h.use(nil)
	h.up()
	err := h.stay(ctx, client, state, present, lost)
	h.down(err)
	return err
}

// stay waits for what ends a connection, and keeps the STATE topic true. Where nothing comes
// for a while it says STATE again, which it must hear itself: a broker may have lost what is
// subscribed, and the connection is well all the same. Where ctx ends it says goodbye, whether
// STATE was answered or not: it may have arrived, and a clean stop leaves no will.
func (h *Host) stay(ctx context.Context, client mqtt.Client, state sparkplug.State, present bool, lost <-chan error) error {
	h.heard.Store(time.Now().UnixNano())
	look := time.NewTicker(h.quiet / 2)
	defer look.Stop()
	for {
		if ctx.Err() != nil {
			return h.goodbye(ctx, client, present)
		}
		select {
		case <-look.C:
			if !present {
				continue
			}
			silent := time.Since(time.Unix(0, h.heard.Load()))
			if silent > 2*h.quiet {
				return errUnheard
			}
			if silent > h.quiet {
				if err := h.publishState(ctx, client, state); err != nil && ctx.Err() == nil {
					return err
				}
			}
		case err := <-lost:
			return fmt.Errorf("connection lost: %w", err)
		case <-ctx.Done():
		case <-h.changed:
			if h.online.Load() != present {
				_ = h.goodbye(ctx, client, present)
				return errAnnounced
			}
		case seen := <-h.corrupt:
			if !present {
				continue
			}
			if seen > state.Timestamp {
				// Cells hold what is newest for true, and the will must say the
				// time of the birth: only a new connection puts both right.
				h.floor = seen + 1
				return errors.New("another host of this id said offline after us")
			}
			h.log.Warn("state said offline and is put right", "host_id", h.config.HostID)
			if err := h.publishState(ctx, client, state); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// stamp is the time for what is said now: none goes back behind another, whatever the clock
// does, since cells pass over what is older than what they know.
func (h *Host) stamp() int64 {
	h.floor = max(h.clock().UnixMilli(), h.floor)
	return h.floor
}

// goodbye says offline, as a clean stop must before it disconnects.
func (h *Host) goodbye(ctx context.Context, client mqtt.Client, present bool) error {
	if !present {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbyeTimeout)
	defer cancel()
	return h.publishState(ctx, client, sparkplug.State{Timestamp: h.stamp()})
}

func (h *Host) options(ctx context.Context, dialed chan<- net.Conn) *mqtt.ClientOptions {
	o := mqtt.NewClientOptions()
	o.AddBroker("tcp://" + h.address)
	o.SetClientID(clientID())
	o.SetProtocolVersion(4)
	o.SetCleanSession(true)
	o.SetKeepAlive(keepAlive)
	o.SetPingTimeout(pingTimeout)
	o.SetConnectTimeout(connectTimeout)
	o.SetWriteTimeout(writeTimeout)
	o.SetOrderMatters(true)
	// A client that reconnects by itself would reuse its will, and discards what is
	// published meanwhile.
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { h.received(m) })
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		d := net.Dialer{Timeout: connectTimeout}
		c, err := d.DialContext(ctx, "tcp", h.address)
		if err != nil {
			return nil, err
		}
		dialed <- c
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		secured, err := h.config.TLS.Secure(ctx, c, h.address)
		if err != nil {
			_ = c.Close() // the handshake's error says it
			return nil, err
		}
		return &bufferedConn{Conn: secured, r: bufio.NewReaderSize(secured, readBuffer)}, nil
	})
	return o
}

// received takes a message from the MQTT client. It never blocks.
func (h *Host) received(m mqtt.Message) {
	now := time.Now()
	h.heard.Store(now.UnixNano())
	if h.config.HostID != "" && m.Topic() == h.stateTopic() {
		h.receivedState(m)
		return
	}
	h.config.Receive(Message{Topic: m.Topic(), Payload: m.Payload(), Retained: m.Retained(), Received: now})
}

// receivedState looks for a STATE of this host that says offline. What was retained
// before the connection is overwritten in a moment, unless it is newer.
func (h *Host) receivedState(m mqtt.Message) {
	s, err := sparkplug.ParseState(m.Payload())
	if err != nil || s.Online || s.Timestamp == math.MaxInt64 || (m.Retained() && s.Timestamp <= h.born.Load()) {
		return
	}
	select {
	case h.corrupt <- s.Timestamp:
	default:
	}
}

// subscribe subscribes the host's own STATE, then everything else, and checks that
// the broker granted it. STATE says online only behind that: a cell that waits for
// it must not be born unheard.
func (h *Host) subscribe(ctx context.Context, client mqtt.Client) error {
	if h.config.HostID != "" {
		if err := subscribe(ctx, client, map[string]byte{h.stateTopic(): 1}); err != nil {
			return err
		}
	}
	return subscribe(ctx, client, h.config.Filters)
}

func subscribe(ctx context.Context, client mqtt.Client, filters map[string]byte) error {
	token := client.SubscribeMultiple(maps.Clone(filters), nil)
	if err := finish(ctx, token, answerTimeout, "subscribe"); err != nil {
		return err
	}
	const highest = 2 // of QoS; MQTT 3.1.1 has one code for a refusal, and brokers say others
	for filter, code := range token.(*mqtt.SubscribeToken).Result() {
		if code > highest {
			return fmt.Errorf("subscribe: the broker refuses %q with code %#x", filter, code)
		}
	}
	return nil
}

func (h *Host) publishState(ctx context.Context, client mqtt.Client, s sparkplug.State) error {
	return finish(ctx, client.Publish(h.stateTopic(), 1, true, s.Append(nil)), answerTimeout, "publish state")
}

func (h *Host) stateTopic() string {
	return sparkplug.Topic{Type: sparkplug.HostState, Host: h.config.HostID}.String()
}

// finish waits for what the client does, at most for limit.
func finish(ctx context.Context, token mqtt.Token, limit time.Duration, what string) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-token.Done():
		if err := token.Error(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("%s: no answer within %v", what, limit)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readBuffer holds many small messages: the client reads a message in four reads.
const readBuffer = 64 << 10

// bufferedConn reads through a buffer, so that a small message is not four system calls.
type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *bufferedConn) Read(b []byte) (int, error) { return c.r.Read(b) }
