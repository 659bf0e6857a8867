package agent_test

import (
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"go.uber.org/goleak"

	"andon.internal/shared/mqttserver"
	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startBroker runs a broker until the test ends.
func startBroker(t testing.TB, address string) {
	t.Helper()
	options := &mochi.Options{Logger: slog.New(slog.DiscardHandler)}
	s := mochi.New(options)
	if err := s.AddHook(new(auth.AllowHook), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: address})); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mqttserver.Close(s) })
}

// row is one reading as the plant has it.
type row struct {
	time   int64
	count  uint64 // in its run
	values []telemetry.Value
}

// run is one time on test as the plant has it.
type run struct {
	rows []row
	end  *telemetry.End
}

// plant stands in for the collector: it commits in memory and acknowledges.
type plant struct {
	t      testing.TB
	client paho.Client
	node   telemetry.Node
	in     chan paho.Message
	stop   chan struct{}
	done   sync.WaitGroup

	mu      sync.Mutex
	ledger  map[telemetry.Epoch]*ranges.Set
	layouts map[string]sparkplug.Layout
	runs    map[string]map[int64]*run // by unit and birth
	session uint64
	bdSeq   uint8 // of the latest birth
	listed  int   // epochs, by the latest birth
	alive   bool
	deaths  int
	repeats int
	lost    []telemetry.Loss
	down    bool // the database is away
}

func startPlant(t testing.TB, address string, node telemetry.Node) *plant {
	t.Helper()
	p := &plant{
		t: t, node: node, in: make(chan paho.Message, 1<<14), stop: make(chan struct{}),
		ledger:  map[telemetry.Epoch]*ranges.Set{},
		layouts: map[string]sparkplug.Layout{},
		runs:    map[string]map[int64]*run{},
	}
	p.client = paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + address).SetClientID("plant").
		SetAutoReconnect(false).SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { p.in <- m }))
	for _, token := range []func() paho.Token{
		p.client.Connect,
		func() paho.Token { return p.client.Subscribe(sparkplug.Namespace+"/"+node.Group+"/#", 0, nil) },
	} {
		if tok := token(); !tok.WaitTimeout(30*time.Second) || tok.Error() != nil {
			t.Fatal("the plant does not connect: ", tok.Error())
		}
	}
	p.done.Go(p.work)
	t.Cleanup(func() {
		p.client.Disconnect(100)
		close(p.stop)
		p.done.Wait()
	})
	p.command(sparkplug.AppendRebirth(nil, 1)) // a cell may have been born before
	return p
}

func (p *plant) work() {
	say := time.NewTicker(50 * time.Millisecond)
	defer say.Stop()
	for {
		select {
		case <-p.stop:
			return
		case m := <-p.in:
			if topic, err := sparkplug.ParseTopic(m.Topic()); err == nil && topic.Node == p.node.ID {
				p.take(topic, m.Payload())
			}
		case <-say.C:
			p.acknowledge(nil)
		}
	}
}

func (p *plant) command(payload []byte) {
	topic := sparkplug.Topic{Type: sparkplug.NCmd, Group: p.node.Group, Node: p.node.ID}
	p.client.Publish(topic.String(), 0, false, payload)
}

func (p *plant) acknowledge(sync *sparkplug.SyncPart) {
	p.mu.Lock()
	a := sparkplug.Ack{Credit: sparkplug.Credit{Records: 64, Bytes: 8 << 20}, Sync: sync}
	if p.down {
		a.DB = sparkplug.DBDown
	} else {
		for e, set := range p.ledger {
			a.Epochs = append(a.Epochs, sparkplug.EpochRanges{Epoch: e, Committed: set.Clone()})
		}
	}
	alive := p.alive
	p.mu.Unlock()
	if !alive {
		return
	}
	for _, part := range sparkplug.SplitAck(a, 100<<10) {
		p.command(sparkplug.AppendAck(nil, uint64(time.Now().UnixMilli()), part))
	}
}

// take commits what a message holds.
func (p *plant) take(topic sparkplug.Topic, payload []byte) {
	switch topic.Type {
	case sparkplug.NBirth, sparkplug.DBirth, sparkplug.NDeath:
		decoded, err := sparkplug.Decode(payload, sparkplug.Limits{})
		if err != nil {
			p.t.Errorf("%v: %v", topic, err)
			return
		}
		if topic.Type == sparkplug.NDeath {
			p.death(topic, decoded)
			return
		}
		p.birth(topic, decoded)
	case sparkplug.DData, sparkplug.NData:
		p.data(topic, payload)
	}
}

// death ends the session whose it is: the will of an earlier one may come late.
func (p *plant) death(topic sparkplug.Topic, payload *sparkplug.Payload) {
	bdSeq, err := sparkplug.ParseNodeDeath(payload)
	if err != nil {
		p.t.Errorf("%v: %v", topic, err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.alive && bdSeq == p.bdSeq {
		p.deaths++
		p.alive = false
	}
}

func (p *plant) birth(topic sparkplug.Topic, payload *sparkplug.Payload) {
	if topic.Type == sparkplug.DBirth {
		b, err := sparkplug.ParseUnitBirth(topic.Device, payload)
		if err != nil {
			p.t.Errorf("%v: %v", topic, err)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.layouts[topic.Device] = b.Layout()
		return
	}
	b, err := sparkplug.ParseNodeBirth(payload)
	if err != nil {
		p.t.Errorf("%v: %v", topic, err)
		return
	}
	p.mu.Lock()
	p.session, p.bdSeq, p.listed, p.alive = b.Session, b.BdSeq, len(b.Chain), true
	clear(p.layouts)
	p.mu.Unlock()
	p.acknowledge(&sparkplug.SyncPart{Session: b.Session})
}

func (p *plant) data(topic sparkplug.Topic, payload []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	envelope, err := sparkplug.Peek(payload)
	if err != nil || !p.alive || p.down || envelope.Session != p.session {
		return // a heartbeat, or what comes again
	}
	set := p.ledger[envelope.Epoch]
	if set == nil {
		set = &ranges.Set{}
		p.ledger[envelope.Epoch] = set
	}
	if set.Contains(envelope.Position) {
		p.repeats++
		return
	}
	if envelope.UUID == sparkplug.LossUUID {
		_, loss, err := sparkplug.DecodeLoss(payload, sparkplug.Limits{})
		if err != nil {
			p.t.Errorf("%v: %v", topic, err)
			return
		}
		p.lost = append(p.lost, loss)
	} else {
		layout, known := p.layouts[topic.Device]
		if !known {
			p.t.Errorf("%v: data of a unit that was not born", topic)
			return
		}
		_, r, _, err := sparkplug.DecodeRecord(payload, topic.Device, layout, sparkplug.Limits{})
		if err != nil {
			p.t.Errorf("%v: %v", topic, err)
			return
		}
		p.keep(r)
	}
	set.Add(envelope.Position, envelope.Position+1)
}

// keep stores the rows of a record under its run.
func (p *plant) keep(r *telemetry.Record) {
	of := p.runs[r.Unit]
	if of == nil {
		of = map[int64]*run{}
		p.runs[r.Unit] = of
	}
	u := of[r.Born]
	if u == nil {
		u = &run{}
		of[r.Born] = u
	}
	for i := range r.Len() {
		u.rows = append(u.rows, row{r.Times[i], r.Count + uint64(i), slices.Clone(r.Row(i))})
	}
	if r.End != nil {
		u.end = r.End
	}
}

// rows returns how many readings the plant has.
func (p *plant) rows() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, of := range p.runs {
		for _, u := range of {
			n += len(u.rows)
		}
	}
	return n
}

// ended returns the reasons of the runs that have ended, by unit.
func (p *plant) ended() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]string{}
	for unit, of := range p.runs {
		for _, u := range of {
			if u.end != nil {
				out[unit] = u.end.Reason
			}
		}
	}
	return out
}

func (p *plant) setDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}
