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
	"andon.internal/shared/sparkplug"
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

// metric is the sum of a metric of the intake, of the series with a label value if
// one is given.
func metric(t *testing.T, reg *prometheus.Registry, name string, label ...string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "andon_intake_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if len(label) == 0 || strings.Contains(m.String(), label[0]) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// noted is how many births of units were noted.
func (p *plant) noted() (n int) {
	for _, c := range p.log() {
		if strings.HasPrefix(c, "unit ") {
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
		if got := metric(t, reg, "queue_bytes"); got != 0 {
			t.Errorf("%v bytes are taken by births", got)
		}
		p.set(func() { p.fail = nil })
		pass(2 * time.Minute)
		if got := p.noted(); got != bound {
			t.Errorf("%d of %d births are noted, want %d", got, nodes*units, bound)
		}
		if got := metric(t, reg, "unnoted_units_total"); got != nodes*units-bound {
			t.Errorf("%v are counted as not noted, want %d", got, nodes*units-bound)
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
		if got := p.noted(); got != 1 {
			t.Errorf("%d births are noted, want that of the unit on test", got)
		}
	})
}
