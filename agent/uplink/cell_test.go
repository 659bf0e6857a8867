package uplink_test

import (
	"context"
	"math"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/buffer"
	"andon.internal/agent/record"
	"andon.internal/agent/roster"
	"andon.internal/agent/source"
	"andon.internal/agent/uplink"
	"andon.internal/shared/ops/opstest"
	"andon.internal/shared/telemetry"
)

var press = &telemetry.Profile{Name: "press", Version: 1, Signals: []telemetry.Signal{
	{Name: "force", Unit: "kN", Type: telemetry.Double},
	{Name: "strokes", Type: telemetry.Integer},
	{Name: "running", Type: telemetry.Boolean},
}}

// press2 is press with one signal more: another layout.
var press2 = &telemetry.Profile{Name: "press", Version: 2, Signals: append(press.Signals[:3:3],
	telemetry.Signal{Name: "oil_temp", Unit: "degC", Type: telemetry.Real})}

// cell is the agent's side of a test: a real buffer and roster, and an uplink that
// can be stopped and started.
type cell struct {
	t      testing.TB
	dir    string
	keep   time.Duration         // Options.Retain
	room   func(*buffer.Options) // where a test sets other limits
	buf    *buffer.Buffer
	roster *roster.Roster
	count  *sessionCount
	cfg    uplink.Config
	reg    *prometheus.Registry // of its metrics

	sessions uplink.Sessions // count, unless a test sets another

	up     *uplink.Uplink
	cancel context.CancelFunc
	done   chan error

	clock    int64             // of the last reading, unix ns
	taken    map[string]uint64 // readings by unit
	born     map[string]int64
	profile  map[string]*telemetry.Profile
	appended map[key]*telemetry.Record
}

// fast is a configuration with short times, but for those after which the cell gives
// something up: a busy machine must not be taken for a fault. What is about one of these
// sets it.
func fast(url string) uplink.Config {
	return uplink.Config{
		Node: telemetry.Node{Group: group, ID: node}, URL: url, Version: "test", Boot: [16]byte{7, 7},
		RetryMin: 5 * time.Millisecond, RetryMax: 50 * time.Millisecond,
		ConnectTimeout: 2 * time.Second,
		Heartbeat:      100 * time.Millisecond, Silence: patience,
		SyncTimeout: patience, SyncGrace: 20 * time.Millisecond, RebirthEvery: 50 * time.Millisecond,
		HoldGrace: 50 * time.Millisecond, Retransmit: 2 * time.Second, RetransmitMax: 2 * time.Second,
		FreshAge:  10 * time.Second, // a busy machine may take long to begin a session
		StopRound: time.Second, Farewell: 500 * time.Millisecond,
		Logger: logger(),
	}
}

func newCell(t testing.TB, cfg uplink.Config) *cell {
	t.Helper()
	c := &cell{
		t: t, dir: t.TempDir(), cfg: cfg, reg: prometheus.NewRegistry(), count: &sessionCount{}, clock: time.Now().UnixNano(),
		taken: map[string]uint64{}, born: map[string]int64{}, profile: map[string]*telemetry.Profile{},
		appended: map[key]*telemetry.Record{},
	}
	c.cfg.Metrics = uplink.NewMetrics(c.reg)
	c.sessions = c.count
	c.open()
	t.Cleanup(func() {
		c.stop()
		c.buf.Close()
	})
	return c
}

func (c *cell) open() {
	c.t.Helper()
	var err error
	if c.roster, err = roster.Open(memKV{}, roster.Options{}); err != nil {
		c.t.Fatal(err)
	}
	c.reopen()
	c.up = nil
}

// retain lets the buffer keep what was acknowledged.
func (c *cell) retain() {
	c.keep = time.Hour
	c.reopen()
}

// start runs the uplink.
func (c *cell) start() {
	c.t.Helper()
	if c.up == nil {
		var err error
		if c.up, err = uplink.New(c.cfg, c.buf, c.roster, c.sessions); err != nil {
			c.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel, c.done = cancel, make(chan error, 1)
	go func(up *uplink.Uplink, done chan error) { done <- up.Run(ctx) }(c.up, c.done)
}

// repeating sends what is not acknowledged again soon.
func (c *cell) repeating() {
	c.cfg.Retransmit, c.cfg.RetransmitMax = 300*time.Millisecond, time.Second
}

// startCredited runs the uplink until it knows the collector's credit, and keeps it from
// taking what is in flight for lost, which would make room for more.
func (c *cell) startCredited() {
	c.t.Helper()
	c.cfg.Retransmit, c.cfg.RetransmitMax = time.Hour, time.Hour
	c.start()
	eventually(c.t, "the credit is known", func() bool { return c.up.Status().Synced })
}

// stop ends the uplink, if it runs, and returns how long that took.
func (c *cell) stop() time.Duration {
	c.t.Helper()
	if c.cancel == nil {
		return 0
	}
	begin := time.Now()
	c.cancel()
	select {
	case err := <-c.done:
		if err != nil {
			c.t.Errorf("Run: %v", err)
		}
	case <-time.After(patience):
		stacks := make([]byte, 1<<20)
		c.t.Fatalf("the uplink does not stop:\n%s", stacks[:runtime.Stack(stacks, true)])
	}
	c.cancel = nil
	return time.Since(begin)
}

// restart stops everything and opens the buffer again: a new epoch.
func (c *cell) restart() {
	c.t.Helper()
	c.stop()
	c.reopen()
	c.start()
}

// reopen closes the buffer, if it is open, and opens it: a new epoch begins.
func (c *cell) reopen() {
	c.t.Helper()
	if c.buf != nil {
		if err := c.buf.Close(); err != nil {
			c.t.Fatal(err)
		}
	}
	o := buffer.Options{Dir: c.dir, BootID: [16]byte{7, 7}, Retain: c.keep, Logger: logger()}
	if c.room != nil {
		c.room(&o)
	}
	b, err := buffer.Open(o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.buf, c.up = b, nil
}

// birth puts a unit on test.
func (c *cell) birth(unit string, p *telemetry.Profile) {
	c.t.Helper()
	c.clock += int64(time.Millisecond)
	c.born[unit], c.taken[unit], c.profile[unit] = c.clock, 0, p
	run := source.Run{Unit: unit, Profile: p, Born: c.clock}
	if err := c.roster.Births("test", run); err != nil {
		c.t.Fatal(err)
	}
}

// take makes a record of n readings of a unit.
func (c *cell) take(unit string, n int) *telemetry.Record {
	p := c.profile[unit]
	r := &telemetry.Record{Unit: unit, Profile: p, Born: c.born[unit], Count: c.taken[unit]}
	for range n {
		c.clock += int64(time.Millisecond)
		row := make([]telemetry.Value, len(p.Signals))
		for i := range row {
			switch p.Signals[i].Type {
			case telemetry.Double:
				row[i] = telemetry.DoubleValue(math.Sin(float64(c.clock)))
			case telemetry.Real:
				row[i] = telemetry.RealValue(float32(c.taken[unit]))
			case telemetry.Integer:
				row[i] = telemetry.IntegerValue(c.clock)
			case telemetry.Boolean:
				row[i] = telemetry.BooleanValue(c.clock%2 == 0)
			}
		}
		r.Append(c.clock, 0, row)
		c.taken[unit]++
	}
	return r
}

// singles makes n records of one reading each.
func (c *cell) singles(unit string, n int) []*telemetry.Record {
	list := make([]*telemetry.Record, n)
	for i := range list {
		list[i] = c.take(unit, 1)
	}
	return list
}

// append gives records to the buffer.
func (c *cell) append(list ...*telemetry.Record) {
	c.t.Helper()
	var items []buffer.Item
	for _, r := range list {
		it := buffer.Item{Data: record.Append(nil, r), Label: r.Unit, Rows: r.Len()}
		if r.Len() > 0 {
			it.First, it.Last = r.Times[0], r.Times[r.Len()-1]
		}
		items = append(items, it)
	}
	epoch := telemetry.Epoch(c.buf.Epoch())
	first, err := c.buf.Append(items, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	for i, r := range list {
		c.appended[key{epoch, first + uint64(i)}] = r
	}
}

// readings appends n records of one reading each.
func (c *cell) readings(unit string, n int) {
	c.t.Helper()
	for range n {
		c.append(c.take(unit, 1))
	}
}

// end takes a unit off the test, with a record that says so.
func (c *cell) end(unit string) {
	c.t.Helper()
	r := c.take(unit, 0)
	r.End = &telemetry.End{Time: c.clock, Reason: "finished"}
	c.append(r)
	if err := c.roster.Deaths("test", unit); err != nil {
		c.t.Fatal(err)
	}
}

// empty reports whether everything has been acknowledged.
func (c *cell) empty() bool { return c.buf.Stats().Records == 0 }

// heard waits until the cell has taken all that the collector's client has said before.
func (c *cell) heard(plant *collector) {
	c.t.Helper()
	malformed := func() float64 {
		return opstest.Metric(c.t, c.reg, "andon_uplink_refused_messages_total", "malformed")
	}
	before := malformed()
	plant.command([]byte{0xff}) // comes behind it
	eventually(c.t, "the cell hears the collector", func() bool { return malformed() > before })
}

// drained waits until everything has been acknowledged, and checks that the
// collector has exactly what was appended.
func (c *cell) drained(plant *collector) {
	c.t.Helper()
	eventually(c.t, "everything is stored and acknowledged", func() bool {
		plant.mu.Lock()
		n := len(plant.stored)
		plant.mu.Unlock()
		return n >= len(c.appended) && c.empty()
	})
	plant.mu.Lock()
	defer plant.mu.Unlock()
	for k, r := range c.appended {
		got := plant.stored[k]
		if got == nil {
			c.t.Fatalf("position %d of %s was deleted and never stored", k.position, k.epoch)
		}
		if got.Unit != r.Unit || got.Len() != r.Len() || got.Count != r.Count || got.Born != r.Born {
			c.t.Fatalf("position %d: stored %+v, appended %+v", k.position, got, r)
		}
		for i := range r.Times {
			if got.Times[i] != r.Times[i] {
				c.t.Fatalf("position %d row %d: stored time %d, appended %d", k.position, i, got.Times[i], r.Times[i])
			}
		}
		for i := range r.Values {
			if got.Values[i] != r.Values[i] {
				c.t.Fatalf("position %d value %d: stored %v, appended %v", k.position, i, got.Values[i], r.Values[i])
			}
		}
	}
	if len(plant.stored) != len(c.appended) {
		c.t.Fatalf("%d records stored, %d appended", len(plant.stored), len(c.appended))
	}
}

// sessionCount is a session counter that a test can set.
type sessionCount struct {
	mu sync.Mutex
	n  uint64
}

func (s *sessionCount) Next(string) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	return s.n, nil
}

// memKV is a roster's store that lasts as long as the test.
type memKV map[string][]byte

func (m memKV) Get(b, k string) ([]byte, error)  { return m[b+"/"+k], nil }
func (m memKV) Put(b, k string, v []byte) error  { m[b+"/"+k] = v; return nil }
func (m memKV) Note(b, k string, v []byte) error { return m.Put(b, k, v) }
