package uplink_test

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/uplink"
	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// sink acknowledges whatever arrives, as cheaply as can be.
type sink struct {
	client  mqtt.Client
	mu      sync.Mutex
	sets    map[telemetry.Epoch]*ranges.Set
	dirty   bool
	session uint64
	bytes   int
	arrived func(position uint64)
	stop    chan struct{}
	wg      sync.WaitGroup
}

func startSink(b testing.TB, addr string) *sink {
	s := &sink{sets: map[telemetry.Epoch]*ranges.Set{}, stop: make(chan struct{})}
	o := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("sink")
	s.client = mqtt.NewClient(o)
	if !s.client.Connect().WaitTimeout(patience) || !s.client.Subscribe("spBv1.0/#", 0, s.take).WaitTimeout(patience) {
		b.Fatal("the sink does not connect")
	}
	s.wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-s.stop:
				return
			case <-tick.C:
				s.acknowledge(nil)
			}
		}
	})
	b.Cleanup(func() {
		close(s.stop)
		s.wg.Wait()
		s.client.Disconnect(100)
	})
	return s
}

func (s *sink) take(_ mqtt.Client, m mqtt.Message) {
	t, err := sparkplug.ParseTopic(m.Topic())
	if err != nil {
		return
	}
	switch t.Type {
	case sparkplug.NBirth:
		p, _ := sparkplug.Decode(m.Payload(), sparkplug.Limits{})
		b, err := sparkplug.ParseNodeBirth(p)
		if err == nil {
			s.mu.Lock()
			s.session = b.Session
			s.mu.Unlock()
			go s.acknowledge(&sparkplug.SyncPart{Session: b.Session, Part: 1, Of: 1})
		}
	case sparkplug.DData:
		e, err := sparkplug.Peek(m.Payload())
		if err != nil {
			return
		}
		s.mu.Lock()
		set := s.sets[e.Epoch]
		if set == nil {
			set = &ranges.Set{}
			s.sets[e.Epoch] = set
		}
		set.Add(e.Position, e.Position+1)
		s.dirty = true
		s.bytes += len(m.Payload())
		s.mu.Unlock()
		if s.arrived != nil {
			s.arrived(e.Position)
		}
	}
}

func (s *sink) acknowledge(sync *sparkplug.SyncPart) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dirty && sync == nil {
		return
	}
	s.dirty = false
	a := sparkplug.Ack{Credit: sparkplug.Credit{Records: 256, Bytes: 16 << 20}, Sync: sync}
	for e, set := range s.sets {
		a.Epochs = append(a.Epochs, sparkplug.EpochRanges{Epoch: e, Committed: set.Clone()})
	}
	s.client.Publish("spBv1.0/line1/NCMD/cell-07", 0, false, sparkplug.AppendAck(nil, 1, a))
}

// wide is a profile of 24 doubles.
func wide() *telemetry.Profile {
	p := &telemetry.Profile{Name: "wide", Version: 1}
	for i := range 24 {
		p.Signals = append(p.Signals, telemetry.Signal{Name: fmt.Sprintf("s%d", i+1), Type: telemetry.Double})
	}
	return p
}

// BenchmarkThroughput drains a full buffer through a real broker: rows of 24 doubles,
// 400 to a record, acknowledged every 20 ms. One operation is one record.
func BenchmarkThroughput(b *testing.B) {
	broker := startBroker(b, 0)
	sink := startSink(b, broker.addr)
	cfg := fast("tcp://" + broker.addr)
	cfg.Retransmit, cfg.RetransmitMax = 0, 0 // the defaults
	cell := newCell(b, cfg)
	cell.birth("engine-1", wide())
	const rows = 400
	n := 0
	for b.Loop() {
		cell.append(cell.take("engine-1", rows))
		if n == 0 {
			cell.start()
		}
		n++
		for cell.buf.Stats().Records > 100 {
			time.Sleep(100 * time.Microsecond)
		}
	}
	eventually(b, "all acknowledged", cell.empty)
	b.ReportMetric(float64(n*rows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(sink.bytes)/float64(n), "B/record")
}

// BenchmarkLatency appends 2,000 small records a second and measures the time until
// another MQTT client has each.
func BenchmarkLatency(b *testing.B) {
	broker := startBroker(b, 0)
	sink := startSink(b, broker.addr)
	const warmUp = 1000
	var mu sync.Mutex
	sent, took := map[uint64]time.Time{}, []float64{}
	sink.arrived = func(p uint64) {
		mu.Lock()
		defer mu.Unlock()
		if at, ok := sent[p]; ok && p >= warmUp {
			took = append(took, float64(time.Since(at).Microseconds()))
			delete(sent, p)
		}
	}
	reg := prometheus.NewRegistry()
	cfg := fast("tcp://" + broker.addr)
	cfg.Metrics = uplink.NewMetrics(reg)
	cfg.Retransmit, cfg.RetransmitMax = 0, 0 // the defaults
	cell := newCell(b, cfg)
	cell.birth("engine-1", wide())
	cell.start()
	eventually(b, "the session", func() bool { return cell.up.Status().Synced })
	position := uint64(0)
	next := time.Now()
	one := func() {
		r := cell.take("engine-1", 1)
		mu.Lock()
		sent[position] = time.Now()
		mu.Unlock()
		position++
		cell.append(r)
		next = next.Add(500 * time.Microsecond)
		time.Sleep(time.Until(next))
	}
	for range warmUp { // until the window is open
		one()
	}
	lateBefore, allBefore := published(b, reg)
	for b.Loop() {
		one()
	}
	eventually(b, "all acknowledged", cell.empty)
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(took)
	for _, q := range []float64{50, 99, 100} {
		b.ReportMetric(took[min(int(math.Ceil(q/100*float64(len(took)))), len(took)-1)], fmt.Sprintf("p%v-us", q))
	}
	late, all := published(b, reg)
	b.ReportMetric(100*float64(late-lateBefore)/float64(all-allBefore), "%over-5ms-to-publish")
}

// published returns how many live records took more than 5 ms from append to publish,
// of how many.
func published(b *testing.B, reg *prometheus.Registry) (late, all uint64) {
	families, err := reg.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "andon_uplink_publish_seconds" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		for _, bucket := range h.GetBucket() {
			if bucket.GetUpperBound() == .005 {
				return h.GetSampleCount() - bucket.GetCumulativeCount(), h.GetSampleCount()
			}
		}
	}
	b.Fatal("the histogram is not there")
	return 0, 0
}
