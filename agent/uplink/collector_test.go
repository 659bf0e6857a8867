package uplink_test

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

const (
	group = "line1"
	node  = "cell-07"
)

// seen is one message of the cell as the collector decoded it.
type seen struct {
	kind       sparkplug.MessageType
	unit       string
	at         time.Time
	size       int
	seq        uint8
	session    uint64 // of the last birth before it
	birth      *sparkplug.NodeBirth
	unitBirth  *sparkplug.UnitBirth
	bdSeq      uint8 // of an NDEATH
	header     sparkplug.Header
	record     *telemetry.Record
	loss       *telemetry.Loss
	historical bool
	heartbeat  *sparkplug.Heartbeat
	lost       bool // the collector pretends that it never came
}

type key struct {
	epoch    telemetry.Epoch
	position uint64
}

// policy is what the collector does. It is changed with collector.set.
type policy struct {
	mute   bool // says nothing at all
	noSync bool // does not answer births
	down   bool // the database is away
	noAck  bool // commits and does not say so
	credit sparkplug.Credit
	lose   func(*seen) bool // such a message never came
}

// collector is a scripted stand-in for the plant's side: it checks the protocol,
// commits into a ledger in memory and acknowledges.
type collector struct {
	t      testing.TB
	client mqtt.Client
	in     chan mqtt.Message
	stop   chan struct{}
	wg     sync.WaitGroup

	mu        sync.Mutex
	policy    policy
	log       []*seen
	faults    []string
	lenient   bool // it may have missed messages: it asks for a rebirth instead of complaining
	ledger    map[telemetry.Epoch]*ranges.Set
	stored    map[key]*telemetry.Record
	losses    map[key]telemetry.Loss
	repeats   int // records that had been committed already
	dirty     bool
	ackedAt   time.Time
	alive     bool // between a birth and a death
	session   uint64
	nextSeq   uint8
	units     map[string]bool // born and not dead
	layouts   map[string]sparkplug.Layout
	aliases   map[uint64]string // in this session: alias -> unit/signal
	inFlight  map[key]int       // bytes of what is not acknowledged
	maxFlight int               // records, since the last set
	maxBytes  int
}

func startCollector(t testing.TB, url string) *collector {
	t.Helper()
	c := &collector{
		t: t, in: make(chan mqtt.Message, 1<<16), stop: make(chan struct{}),
		policy: policy{credit: sparkplug.Credit{Records: 64, Bytes: 8 << 20}},
		ledger: map[telemetry.Epoch]*ranges.Set{}, stored: map[key]*telemetry.Record{},
		losses: map[key]telemetry.Loss{}, units: map[string]bool{},
		layouts: map[string]sparkplug.Layout{}, aliases: map[uint64]string{}, inFlight: map[key]int{},
	}
	c.connect(url)
	c.wg.Go(c.run)
	t.Cleanup(func() {
		c.client.Disconnect(200)
		close(c.stop)
		c.wg.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.faults) > 0 {
			t.Errorf("the collector saw %d faults of the protocol:\n%s", len(c.faults), strings.Join(c.faults[:min(len(c.faults), 10)], "\n"))
		}
	})
	return c
}

// connect subscribes to everything. It reconnects by itself, as after a restart of
// the broker.
func (c *collector) connect(url string) {
	c.t.Helper()
	o := mqtt.NewClientOptions().AddBroker(url).SetClientID("collector").SetCleanSession(true)
	o.SetConnectRetry(true).SetConnectRetryInterval(20 * time.Millisecond).SetMaxReconnectInterval(50 * time.Millisecond)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { c.in <- m })
	subscribed := make(chan struct{}, 100)
	o.SetOnConnectHandler(func(cl mqtt.Client) {
		if cl.Subscribe(sparkplug.Namespace+"/#", 0, nil).WaitTimeout(patience) {
			subscribed <- struct{}{}
		}
	})
	c.client = mqtt.NewClient(o)
	c.client.Connect()
	select {
	case <-subscribed:
	case <-time.After(patience):
		c.t.Fatal("the collector did not connect")
	}
}

func (c *collector) run() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-c.stop:
			return
		case m := <-c.in:
			c.take(m)
		case <-tick.C:
			c.acknowledge()
		}
	}
}

// set changes the policy.
func (c *collector) set(change func(*policy)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.policy)
	c.dirty = true
	c.maxFlight, c.maxBytes = 0, 0
}

func (c *collector) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// take checks and commits one message.
func (c *collector) take(m mqtt.Message) {
	topic, err := sparkplug.ParseTopic(m.Topic())
	if err != nil || topic.Node != node || topic.Type == sparkplug.NCmd || topic.Type == sparkplug.DCmd {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &seen{kind: topic.Type, unit: topic.Device, at: time.Now(), size: len(m.Payload())}
	if m.Retained() {
		c.fault("%v came retained", topic)
	}
	if m.Qos() != 0 && topic.Type != sparkplug.NDeath {
		c.fault("%v came with QoS %d", topic, m.Qos())
	}
	err = c.decode(s, m.Payload())
	foreign := (s.record != nil || s.loss != nil) && s.header.Session != c.session
	missed := err != nil || !c.alive || s.seq != c.nextSeq || foreign
	if c.lenient && s.birth == nil && s.kind != sparkplug.NDeath && missed {
		c.alive = false
		if time.Since(c.ackedAt) > 50*time.Millisecond {
			c.ackedAt = time.Now()
			c.rebirth()
		}
		return
	}
	if err != nil {
		c.fault("%v: %v", topic, err)
		return
	}
	c.order(s)
	s.session = c.session
	c.log = append(c.log, s)
	if s.record != nil || s.loss != nil {
		c.arrived(s)
	}
	if s.birth != nil && !c.policy.noSync && !c.policy.mute && !c.policy.down {
		c.answer(s.birth)
	}
}

// arrived commits a record, or a loss.
func (c *collector) arrived(s *seen) {
	k := key{s.header.Epoch, s.header.Position}
	if c.policy.lose != nil && c.policy.lose(s) {
		s.lost = true
		return
	}
	set := c.set1(k.epoch)
	if old := c.stored[k]; old != nil && s.record != nil {
		same := *s.record
		same.Profile = old.Profile
		if !reflect.DeepEqual(old, &same) {
			c.fault("position %d came twice with different content", k.position)
		}
	}
	if !set.Contains(k.position) && !c.policy.down {
		c.inFlight[k] = s.size
		total := 0
		for _, n := range c.inFlight {
			total += n
		}
		c.maxFlight, c.maxBytes = max(c.maxFlight, len(c.inFlight)), max(c.maxBytes, total)
	}
	if c.policy.down {
		return
	}
	if set.Add(k.position, k.position+1) == 0 {
		c.repeats++
	}
	switch {
	case s.loss != nil:
		c.losses[k] = *s.loss
	case !s.header.Moved || !c.knows(s.record):
		c.stored[k] = s.record
	}
	c.dirty = true
}

func (c *collector) set1(e telemetry.Epoch) *ranges.Set {
	s := c.ledger[e]
	if s == nil {
		s = &ranges.Set{}
		c.ledger[e] = s
	}
	return s
}

// committed returns what the ledger has of an epoch.
func (c *collector) committed(e telemetry.Epoch) ranges.Set {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.set1(e).Clone()
}

func (c *collector) ack() sparkplug.Ack {
	a := sparkplug.Ack{Credit: c.policy.credit}
	if c.policy.down {
		a.DB = sparkplug.DBDown
	}
	return a
}

// answer says what is there of the epochs that a birth lists.
func (c *collector) answer(b *sparkplug.NodeBirth) {
	a := c.ack()
	for _, e := range b.Chain {
		if set := c.ledger[e.Epoch]; set != nil {
			a.Epochs = append(a.Epochs, sparkplug.EpochRanges{Epoch: e.Epoch, Committed: set.Clone()})
		}
	}
	a.Sync = &sparkplug.SyncPart{Session: b.Session, Part: 1, Of: 1}
	for _, part := range sparkplug.SplitAck(a, 400) {
		c.command(sparkplug.AppendAck(nil, uint64(time.Now().UnixMilli()), part))
	}
}

// acknowledge says what is committed, when there is something new and now and then.
func (c *collector) acknowledge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.policy.mute || !c.alive || (!c.dirty && time.Since(c.ackedAt) < 100*time.Millisecond) {
		return
	}
	c.dirty, c.ackedAt = false, time.Now()
	a := c.ack()
	if !c.policy.noAck && !c.policy.down {
		for e, set := range c.ledger {
			a.Epochs = append(a.Epochs, sparkplug.EpochRanges{Epoch: e, Committed: set.Clone()})
		}
		clear(c.inFlight)
	}
	for _, part := range sparkplug.SplitAck(a, 100<<10) {
		c.command(sparkplug.AppendAck(nil, uint64(time.Now().UnixMilli()), part))
	}
}

func (c *collector) command(payload []byte) {
	c.client.Publish(sparkplug.Topic{Type: sparkplug.NCmd, Group: group, Node: node}.String(), 0, false, payload)
}

// say publishes an acknowledgement as it is.
func (c *collector) say(a sparkplug.Ack) {
	c.command(sparkplug.AppendAck(nil, uint64(time.Now().UnixMilli()), a))
}

func (c *collector) rebirth() { c.command(sparkplug.AppendRebirth(nil, 1)) }
