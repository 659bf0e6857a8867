package sentry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"andon.internal/collector/feed"
	"andon.internal/collector/sentry"
	"andon.internal/shared/alarm"
	"andon.internal/shared/ops/opstest"
	"andon.internal/shared/profiles"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const rulesText = `
apiVersion: andon/v1
rules:
- {alarm: hot, profile: dyno, features: {t: {signal: winding_temp_c, fn: last}}, when: t > 90, priority: high}
- {alarm: node-offline, features: {age: {fn: silence, of: node}}, when: age > 4, priority: high}
- {alarm: data-silence, features: {age: {fn: silence, of: unit}}, when: age > 5, suppressed_by: [node-offline], priority: high}
`

var (
	dyno  = profiles.Find(profiles.Builtin(), "dyno")
	cell  = telemetry.Node{Group: "plant", ID: "cell-01"}
	epoch = telemetry.Epoch{1}
	errNo = errors.New("away")
)

// journal is a database in memory. It is its own Journals.
type journal struct {
	mu     sync.Mutex
	err    error // of the next calls; nil: they work
	once   error // of the next Write alone
	other  bool  // another has the lease
	past   sentry.Past
	events []string // as "rule sequence kind"
	seen   map[string]bool
}

func (j *journal) set(change func(j *journal)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(j)
}

func (j *journal) Acquire(context.Context, time.Duration) (sentry.Journal, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil || j.other {
		return nil, j.err
	}
	return j, nil
}

func (j *journal) Open(context.Context) (sentry.Past, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.past, j.err
}

func (j *journal) Write(_ context.Context, list []sentry.Change) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := errors.Join(j.err, j.once); err != nil {
		j.once = nil
		return err
	}
	for _, c := range list {
		if key := fmt.Sprint(c.Event.Alarm, c.Event.Sequence); !j.seen[key] {
			j.seen[key] = true
			j.events = append(j.events, fmt.Sprintf("%s %d %s", c.Alarm.Rule, c.Event.Sequence, c.Event.Kind))
		}
	}
	return nil
}

func (j *journal) Renew(context.Context, time.Duration) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.other {
		return sentry.ErrLeaseLost
	}
	return j.err
}

func (j *journal) Release(context.Context) error { return nil }

// link keeps what is published.
type link struct {
	mu   sync.Mutex
	err  error
	sent []alarm.Alarm
}

func (l *link) Send(topic string, payload []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	a, err := alarm.ParseAlarm(topic, payload)
	if err != nil {
		panic(err)
	}
	l.sent = append(l.sent, a)
	return nil
}

func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// broker is the connection as the sentry asks for it.
type broker struct {
	away  atomic.Bool
	stall atomic.Int64 // how long the next answer takes the sentry's timer
}

func (b *broker) connected() error {
	time.Sleep(time.Duration(b.stall.Swap(0)))
	if b.away.Load() {
		return errNo
	}
	return nil
}

// rig is a sentry in a synctest bubble.
type rig struct {
	t       *testing.T
	s       *sentry.Sentry
	journal *journal
	link    *link
	broker  broker
	reg     *prometheus.Registry
	next    uint64
	cancel  func()
}

// with runs a test of a sentry that works for as long as the test does.
func with(t *testing.T, c sentry.Config, before func(r *rig), test func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		rules, err := sentinel.Load("rules.yaml", []byte(rulesText), profiles.Builtin())
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{t: t, journal: &journal{seen: map[string]bool{}}, link: &link{}, reg: prometheus.NewRegistry()}
		if before != nil {
			before(r)
		}
		c.Rules, c.Broker, c.Metrics = rules, r.broker.connected, sentry.NewMetrics(r.reg)
		if r.s, err = sentry.New(c, r.link, r.journal); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		r.cancel = cancel
		done := make(chan error, 1)
		go func() { done <- r.s.Run(ctx) }()
		synctest.Wait()
		test(r)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (r *rig) take(e feed.Event) {
	r.t.Helper()
	e.Node, e.Received = cell, time.Now()
	r.s.Take(e)
	synctest.Wait()
}

// birth says the births of the cell and of the given units, whose runs began at born.
func (r *rig) birth(born int64, units ...string) {
	r.take(feed.Event{Kind: feed.NodeBorn, Birth: &sparkplug.NodeBirth{}})
	for _, u := range units {
		r.take(feed.Event{Kind: feed.UnitBorn, UnitID: u, Unit: &sparkplug.UnitBirth{Unit: u, Profile: dyno, Born: born}})
	}
}

// reading sends one reading; edit may change its event.
func (r *rig) reading(unit string, temp float64, edit ...func(e *feed.Event)) {
	r.t.Helper()
	values := make([]telemetry.Value, len(dyno.Signals))
	values[dyno.Index("winding_temp_c")] = telemetry.DoubleValue(temp)
	rec := &telemetry.Record{Unit: unit, Profile: dyno, Born: 1}
	rec.Append(time.Now().UnixNano(), 0, values)
	e := feed.Event{Kind: feed.Record, Record: rec, Epoch: epoch, Position: r.next}
	r.next++
	for _, f := range edit {
		f(&e)
	}
	r.take(e)
}

func (r *rig) ack(id string) {
	k := alarm.Acknowledgement{ID: id, By: "kim"}
	b, err := k.Append(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.take(feed.Event{Kind: feed.Other, Topic: k.Topic(), Payload: b})
}

// sent returns what was published since the last call, as "rule sequence state".
func (r *rig) sent() string {
	r.link.mu.Lock()
	defer r.link.mu.Unlock()
	var list []string
	for _, a := range r.link.sent {
		list = append(list, fmt.Sprintf("%s %d %s", a.Rule, a.Sequence, a.State()))
	}
	r.link.sent = nil
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// journalled returns all events in the journal.
func (r *rig) journalled() string {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	return strings.Join(r.journal.events, ", ")
}

func (r *rig) want(what, got, want string) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// metric is the value of a counter or gauge without labels.
func (r *rig) metric(name string) float64 {
	r.t.Helper()
	return opstest.Metric(r.t, r.reg, "andon_sentry_"+name)
}

// id returns the id of the only open alarm.
func (r *rig) id() string {
	r.t.Helper()
	list := r.s.Open()
	if len(list) != 1 {
		r.t.Fatalf("open are %+v", list)
	}
	return list[0].ID
}
