package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"golang.org/x/sync/errgroup"

	"andon.internal/shared/mqttserver"
	"andon.internal/shared/ops"
)

// Broker is an MQTT broker. New, then Listen where the address is needed before
// Run, then Run once.
type Broker struct {
	cfg     Config
	log     *slog.Logger
	server  *mqtt.Server
	metrics *metrics
	depot   *depot
	lobby   *room // of connections without a session
	hall    *room // of those in the middle of a large packet
	policy  *policy
	gate    *gate // nil without TLS
	listen  func(network, address string) (net.Listener, error)

	listening sync.Mutex // over the two below, until Run
	listener  *listener
	http      *ops.Server
	health    ops.Health
}

// New returns a broker of the given configuration. It opens nothing yet. The error
// is that of the configuration's checks.
func New(cfg Config) (*Broker, error) {
	if err := errors.Join(cfg.Check(), cfg.TLS.Check(), cfg.Limits.Check(), cfg.HTTP.Check()); err != nil {
		return nil, fmt.Errorf("broker configuration: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Registry == nil {
		cfg.Registry = ops.NewRegistry()
	}
	b := &Broker{
		cfg: cfg, log: cfg.Logger, listen: net.Listen,
		metrics: newMetrics(cfg.Registry),
		lobby:   newRoom("max_pending", int64(cfg.Limits.MaxPending)),
		hall:    newRoom("receive_bytes", int64(cfg.Limits.ReceiveBytes)),
		depot:   &depot{limit: int64(cfg.Limits.QueueBytes)},
	}
	var err error
	if b.gate, err = newGate(&cfg); err != nil {
		return nil, ops.Hint(err, "andon-broker ca makes certificates, where the plant has no authority of its own")
	}
	b.server = mqtt.New(options(cfg))
	b.policy = &policy{limits: cfg.Limits, metrics: b.metrics, depot: b.depot, server: b.server, log: b.log, repeats: newRepeats()}
	if err := b.server.AddHook(b.policy, nil); err != nil {
		return nil, fmt.Errorf("set up mqtt: %w", err)
	}
	ops.TellPlaintext(cfg.Registry, b.log, cfg.exposed(), cfg.Listen)
	publishInfo(cfg.Registry, b.server, b.depot, b.lobby, b.hall)
	return b, nil
}

// options bounds what the library bounds itself.
func options(cfg Config) *mqtt.Options {
	limits := cfg.Limits
	c := mqtt.NewDefaultServerCapabilities()
	c.MaximumClients = int64(limits.MaxConnections)
	c.MaximumPacketSize = uint32(limits.MaxPacket)
	c.MaximumClientWritesPending = int32(limits.ClientQueue)
	c.MaximumInflight = uint16(limits.MaxInflight)
	c.ReceiveMaximum = 1024            // QoS 2 messages a client may leave half done; a few bytes each
	c.TopicAliasMaximum = 0            // a table of texts for each client
	c.MaximumSessionExpiryInterval = 0 // sessions end with their connection
	c.MaximumMessageExpiryInterval = 0 // else a retained STATE would vanish after a day
	c.MinimumProtocolVersion = 4       // MQTT 3.1.1
	c.SharedSubAvailable = 0
	return &mqtt.Options{
		Capabilities:             c,
		ClientNetReadBufferSize:  readBuffer,
		ClientNetWriteBufferSize: writeBuffer,
		SysTopicResendInterval:   sysInterval,
		Logger:                   newLibraryLog(cfg.Logger),
	}
}

// Listen opens the ports, so that Addr is known. Run calls it if nobody did.
func (b *Broker) Listen() error {
	b.listening.Lock()
	defer b.listening.Unlock()
	if b.listener != nil {
		return nil
	}
	inner, err := b.listen("tcp", b.cfg.Listen)
	if err != nil {
		return ops.Hint(fmt.Errorf("listen for mqtt: %w", err),
			"is a broker running already? choose another listen address, or port 0 for a free one")
	}
	l := newListener(inner, b.cfg.Limits, b.metrics, b.log, b.depot, b.lobby, b.hall)
	l.gate = b.gate
	l.rescue = b.rescue
	http, err := ops.Listen("andon-broker", b.cfg.HTTP, &b.health, b.cfg.Registry, b.log)
	if err != nil {
		_ = inner.Close() // the first error says it
		return err
	}
	b.listener, b.http = l, http
	return nil
}

// Addr returns the address of the MQTT port, or "" before Listen.
func (b *Broker) Addr() string {
	b.listening.Lock()
	defer b.listening.Unlock()
	if b.listener == nil {
		return ""
	}
	return b.listener.Address()
}

// HTTPAddr returns the address of /healthz, /readyz and /metrics, or "" when they
// are off.
func (b *Broker) HTTPAddr() string {
	b.listening.Lock()
	defer b.listening.Unlock()
	if b.http == nil {
		return ""
	}
	return b.http.Addr()
}

// Run serves until ctx ends and then says goodbye to every client, which takes at
// most some seconds. It returns nil at the end of ctx, and otherwise what failed.
// When it returns, nothing of the broker is left running.
func (b *Broker) Run(ctx context.Context) error {
	if err := b.Listen(); err != nil {
		return err
	}
	if err := b.server.AddListener(b.listener); err != nil {
		return fmt.Errorf("set up mqtt: %w", err)
	}
	if err := b.server.Serve(); err != nil {
		return fmt.Errorf("serve mqtt: %w", err)
	}
	b.log.Info("mqtt listens", "address", b.Addr(), "tls", b.gate != nil, "version", ops.Version())
	pulse := ops.NewPulse(15 * time.Second)
	b.health.Live("watch", pulse.Check)
	b.health.Ready("accepting", b.listener.Check)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.http.Run(ctx) })
	g.Go(func() error { b.watch(ctx, b.listener, pulse); return nil })
	g.Go(func() error {
		<-ctx.Done()
		b.stop()
		return nil
	})
	return g.Wait()
}

// stop ends all connections: politely, and after stopTimeout at once.
func (b *Broker) stop() {
	goodbye := make(chan struct{})
	go func() {
		defer close(goodbye)
		_ = mqttserver.Close(b.server) // always nil
	}()
	select {
	case <-goodbye:
	case <-time.After(stopTimeout):
		b.log.Warn("clients did not take their goodbye; their connections are cut")
		b.listener.each(func(c *conn) { _ = c.Close() })
		<-goodbye
	}
	b.listener.serving.Wait()
	b.log.Info("mqtt stopped")
}

// rescue does for a client what the library does at the end of a connection, when a
// panic kept it from it: its will is published, its subscriptions end.
func (b *Broker) rescue(cl *mqtt.Client) {
	if cl.IsTakenOver() {
		return
	}
	cl.ClearInflights()
	b.server.UnsubscribeClient(cl)
	if now, ok := b.server.Clients.Get(cl.ID); ok && now == cl {
		b.server.Clients.Delete(cl.ID)
	}
	will := cl.Properties.Will
	if will.Flag == 0 {
		return
	}
	will, _ = b.policy.OnWill(cl, will) // never an error
	speaker := b.server.NewClient(nil, mqtt.LocalListener, "andon-broker", true)
	defer speaker.Stop(nil)
	message := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: will.Qos, Retain: will.Retain},
		TopicName:   will.TopicName,
		Payload:     will.Payload,
	}
	if will.Qos > 0 {
		message.PacketID = 1 // must be there; nobody acknowledges it
	}
	if err := b.server.InjectPacket(speaker, message); err != nil {
		b.log.Error("a will could not be published", "client", clip(cl.ID), "error", err)
	}
}
