package intake_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/collector/intake"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/ops/opstest"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// foreignBirth is the NBIRTH of another maker's node.
func foreignBirth(topic string) edgetest.Message {
	p := sparkplug.Payload{Timestamp: 1, HasTimestamp: true, HasSeq: true, Metrics: []sparkplug.Metric{
		{Name: "bdSeq", DataType: sparkplug.Int64, Value: sparkplug.LongValue(0)},
	}}
	return edgetest.Message{Topic: topic, Payload: p.Append(nil)}
}

// TestNodeThatTurnsForeignIsNotSpokenTo: else what is owed to it would stay for ever,
// since a foreign node is forgotten without a death.
func TestNodeThatTurnsForeignIsNotSpokenTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		birth := n.Birth()
		r.take(birth)
		pass(2 * time.Second)
		if len(r.wire.said(n.ID)) < 2 {
			t.Fatal("the node is not spoken to")
		}
		r.take(foreignBirth(birth.Topic))
		pass(100 * time.Millisecond)
		said := len(r.wire.said(n.ID))
		pass(5 * time.Second)
		if more := len(r.wire.said(n.ID)) - said; more != 0 {
			t.Errorf("%d acknowledgements to a node of another maker", more)
		}
		n.Connect()
		r.births(n)
		r.send(n, 1)
		pass(time.Second)
		r.wantAcked(n, "[0,1)")
	})
}

// metric is the value of a metric of the intake, of the series with a label's value if
// one is given.
func metric(t *testing.T, reg *prometheus.Registry, name string, label ...string) float64 {
	t.Helper()
	return opstest.Metric(t, reg, "andon_intake_"+name, label...)
}

// called is how many calls were made that begin so.
func (p *plant) called(prefix string) (n int) {
	for _, c := range p.log() {
		if strings.HasPrefix(c, prefix) {
			n++
		}
	}
	return n
}

func TestBirthsThatWaitForTheDatabaseAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const nodes, units, bound = 5, 4000, 16384
		p, reg := newPlant(t), prometheus.NewRegistry()
		p.fail = errors.New("no route to host")
		r := newRig(t, intake.Config{Writers: 1, Metrics: intake.NewMetrics(reg)}, p)
		defer r.stop()
		for i := range nodes {
			n := edgetest.NewNode(group, fmt.Sprint("cell-", i))
			r.take(n.Birth())
			for u := range units {
				r.take(n.UnitBirth(fmt.Sprint("unit-", u), 1, false))
			}
			r.take(n.UnitBirth("unit-0", 2, false)) // takes no more room
		}
		pass(time.Second)
		if got := metric(t, reg, "queue_bytes"); got > nodes*2048 {
			t.Errorf("%v bytes are taken by births of units", got)
		}
		p.set(func() { p.fail = nil })
		pass(2 * time.Minute)
		if got := p.called("unit "); got != bound {
			t.Errorf("%d of %d births are noted, want %d", got, nodes*units, bound)
		}
		if got := metric(t, reg, "unnoted_units_total"); got != nodes*units-bound {
			t.Errorf("%v are counted as not noted, want %d", got, nodes*units-bound)
		}
	})
}

// TestNodeBirthsThatWaitForTheDatabaseAreWithinTheQueue: nodes that come and go are
// forgotten by the table, but what they asked waits for the database.
func TestNodeBirthsThatWaitForTheDatabaseAreWithinTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queue, nodes = 1 << 20, 4000
		p, reg := newPlant(t), prometheus.NewRegistry()
		p.fail = errors.New("no route to host")
		r := newRig(t, intake.Config{Queue: queue, Metrics: intake.NewMetrics(reg)}, p)
		defer r.stop()
		for i := range nodes {
			n := edgetest.NewNode(group, fmt.Sprint("cell-", i))
			r.take(n.Birth(), n.Birth(), n.Death())
			synctest.Wait()
		}
		if got := metric(t, reg, "queue_bytes"); got < queue/2 || got > queue {
			t.Errorf("%v of %d bytes are held for births that wait", got, queue)
		}
		p.set(func() { p.fail = nil })
		pass(time.Minute)
		answered := p.called("sync")
		if answered == 0 || answered > queue/512 {
			t.Errorf("%d births are answered", answered)
		}
		if got := metric(t, reg, "queue_bytes"); got != 0 {
			t.Errorf("%v bytes are held behind it all", got)
		}
	})
}

// TestBirthsOfDeadUnitsAreNotNoted: the run of a unit that died is made by the record
// of its end.
func TestBirthsOfDeadUnitsAreNotNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPlant(t), edgetest.NewNode(group, "cell")
		p.fail = errors.New("no route to host")
		r := newRig(t, intake.Config{}, p)
		defer r.stop()
		r.births(n)
		for u := range 100 {
			name := fmt.Sprint("dead-", u)
			r.take(n.UnitBirth(name, 1, false), n.UnitDeath(name))
		}
		pass(time.Second)
		p.set(func() { p.fail = nil })
		pass(time.Minute)
		if got := p.called("unit "); got != 1 {
			t.Errorf("%d births are noted, want that of the unit on test", got)
		}
	})
}

// sparse is a record of rows of which each has one of many signals: on the wire a row
// takes 17 bytes, and in memory 16 for every signal.
func sparse(rows, signals int) *telemetry.Record {
	p := &telemetry.Profile{Name: "sparse", Version: 1}
	for i := range signals {
		p.Signals = append(p.Signals, telemetry.Signal{Name: fmt.Sprint("signal_", i), Type: telemetry.Boolean})
	}
	rec := &telemetry.Record{Unit: unit, Profile: p, Born: 1}
	row := make([]telemetry.Value, signals)
	row[0] = telemetry.BooleanValue(true)
	for i := range rows {
		rec.Append(time.Now().UnixNano()+int64(i)*1e6, 0, row)
	}
	return rec
}

func TestQueueBoundsWhatIsDecoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queue, rows, signals, records = 4 << 20, 100, 256, 100 // 170 KB on the wire, 41 MB in memory
		p, n, reg := newPlant(t), edgetest.NewNode(group, "cell"), prometheus.NewRegistry()
		r := newRig(t, intake.Config{Queue: queue, Metrics: intake.NewMetrics(reg)}, p)
		defer r.stop()
		rec := sparse(rows, signals)
		n.Profile = rec.Profile
		r.births(n)
		pass(time.Second)
		release := make(chan struct{})
		p.set(func() { p.block = release })
		for range records {
			r.take(n.Data(rec))
		}
		pass(time.Second)
		if got := metric(t, reg, "queue_bytes"); got > queue {
			t.Errorf("%v bytes are held, the bound is %d", got, queue)
		}
		dropped := metric(t, reg, "dropped_total", "queue_full")
		p.set(func() { p.block = nil })
		close(release)
		pass(time.Minute)
		const values = rows * signals * 16 // of one record, in bytes
		taken := int(n.Next) - int(dropped)
		if taken*values > queue || (taken+2)*values < queue*7/8 {
			t.Errorf("%d records of %d bytes were taken into %d", taken, values, queue)
		}
		if got := r.wire.acked(n.ID, n.Epoch).Len(); got != uint64(taken) {
			t.Errorf("%d records are acknowledged, %d were taken", got, taken)
		}
		if got := metric(t, reg, "queue_bytes"); got != 0 {
			t.Errorf("%v bytes are held behind it all", got)
		}
	})
}

// sender sends records as a cell may: in a window that grows with acknowledgements and
// stays within the credit.
type sender struct {
	node   *edgetest.Node
	flying map[uint64]int64 // bytes by position
	window int
}

func (s *sender) step(r *rig, rec *telemetry.Record) {
	acked := r.wire.acked(s.node.ID, s.node.Epoch)
	sum := int64(0)
	for position, size := range s.flying {
		if acked.Contains(position) {
			delete(s.flying, position)
			s.window++
		} else {
			sum += size
		}
	}
	credit := r.wire.last(s.node.ID).Credit
	for len(s.flying) < min(s.window, credit.Records) {
		m := s.node.DataAt(s.node.Next, rec, false)
		size := int64(len(m.Payload))
		if len(s.flying) > 0 && sum+size > credit.Bytes {
			s.node.Seq-- // not sent
			return
		}
		s.flying[s.node.Next] = size
		s.node.Next++
		sum += size
		r.take(m)
	}
}

// TestHonestCellsAreThrottled: cells whose records are far larger in memory than on
// the wire, before a slow database, lose nothing to a full queue.
func TestHonestCellsAreThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queue, rows, signals, cells = 16 << 20, 48, 256, 8 // 200 KB a record, 70 fit
		p, reg := newPlant(t), prometheus.NewRegistry()
		r := newRig(t, intake.Config{Queue: queue, Metrics: intake.NewMetrics(reg)}, p)
		defer r.stop()
		rec := sparse(rows, signals)
		var all []*sender
		for i := range cells {
			n := edgetest.NewNode(group, fmt.Sprint("cell-", i))
			n.Profile = rec.Profile
			r.births(n)
			all = append(all, &sender{node: n, flying: map[uint64]int64{}, window: 2})
		}
		pass(time.Second)
		p.set(func() { p.slow = 300 * time.Millisecond })
		highest := 0.0
		for range 500 { // 10 s
			for _, s := range all {
				s.step(r, rec)
			}
			pass(20 * time.Millisecond)
			highest = max(highest, metric(t, reg, "queue_bytes"))
		}
		if got := metric(t, reg, "dropped_total", "queue_full"); got != 0 {
			t.Errorf("%v records were dropped", got)
		}
		if highest < queue/4 || highest > queue*7/8 {
			t.Errorf("at most %v of %d bytes were held", highest, queue)
		}
		for _, s := range all {
			if got := r.wire.acked(s.node.ID, s.node.Epoch).Len(); got < 25 {
				t.Errorf("%s: %d records are acknowledged", s.node.ID, got)
			}
		}
	})
}
