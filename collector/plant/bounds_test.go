package plant_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"andon.internal/collector/plant"
	"andon.internal/shared/alarm"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

func raised(id string, p sentinel.Priority, sequence int) alarm.Alarm {
	return alarm.Alarm{ID: id, Rule: "hot", Priority: p, Group: "line1", Node: "cell-01", Unit: "a", Condition: alarm.Active, Quality: alarm.Good, RaisedAt: t0, ActiveAt: t0, Sequence: sequence}
}

func TestAlarms(t *testing.T) {
	p := plant.New(plant.Config{})
	signalled := func() bool {
		select {
		case <-p.Alarmed():
			return true
		default:
			return false
		}
	}
	a := raised("x", sentinel.High, 1)
	acked := a
	acked.Sequence, acked.AckedAt, acked.AckedBy = 2, at(5), "Ann"
	closed := acked
	closed.Sequence, closed.Condition, closed.ClearedAt = 3, alarm.Normal, at(9)
	for _, step := range []struct {
		name  string
		a     alarm.Alarm
		tells bool
		want  alarm.State
	}{
		{"raised", a, true, alarm.Unacknowledged},
		{"announced again", a, false, alarm.Unacknowledged},
		{"acknowledged", acked, true, alarm.Acknowledged},
		{"an older state comes late", a, false, alarm.Acknowledged},
		{"closed", closed, true, alarm.Closed},
	} {
		p.Alarm(at(9), step.a)
		if got := signalled(); got != step.tells {
			t.Errorf("%s: told %v, want %v", step.name, got, step.tells)
		}
		if got, ok := p.AlarmByID("x"); !ok || got.State() != step.want {
			t.Errorf("%s: %v %s, want %s", step.name, ok, got.State(), step.want)
		}
	}
	if n := len(p.Snapshot(at(9 + 14*60)).Alarms); n != 1 {
		t.Errorf("%d alarms 14 min after the close, want 1: charts show it", n)
	}
	if n := len(p.Snapshot(at(10 + 15*60)).Alarms); n != 0 {
		t.Errorf("%d alarms after the window, want 0", n)
	}
}

// TestUnrepeatedAlarms: the message that an alarm is over may be lost.
func TestUnrepeatedAlarms(t *testing.T) {
	p := plant.New(plant.Config{})
	p.Alarm(at(0), raised("gone", sentinel.High, 1))
	p.Alarm(at(0), raised("there", sentinel.High, 1))
	p.Alarm(at(10), raised("there", sentinel.High, 1)) // repeated
	before := p.Snapshot(at(10)).Version
	p.Unrepeated(at(40), at(5))
	want := func(id string, want alarm.State) {
		t.Helper()
		if a, _ := p.AlarmByID(id); a.State() != want {
			t.Errorf("%s is %s, want %s", id, a.State(), want)
		}
	}
	want("gone", alarm.Closed)
	want("there", alarm.Unacknowledged)
	if pic, ok := p.Changes(at(40), before); !ok || len(pic.Alarms) != 1 || pic.Alarms[0].ID != "gone" {
		t.Errorf("changed alarms: %+v", pic.Alarms)
	}
	p.Alarm(at(50), raised("gone", sentinel.High, 1)) // it was only quiet
	want("gone", alarm.Unacknowledged)
}

func TestBounds(t *testing.T) {
	reg := prometheus.NewRegistry()
	p := plant.New(plant.Config{Limits: plant.Limits{Cells: 2, Units: 2, Signals: 5, Alarms: 2}, Metrics: plant.NewMetrics(reg)})
	for i := range 5 {
		n := telemetry.Node{Group: "line1", ID: fmt.Sprintf("cell-%d", i)}
		p.Heartbeat(at(1), n, plant.Buffer{})
	}
	for _, id := range []string{"a", "b", "c"} {
		p.Record(at(1), cell, reading(id, true, 1), false)
	}
	p.Alarm(at(1), raised("low-1", sentinel.Low, 1))
	p.Alarm(at(2), raised("high", sentinel.High, 1))
	p.Alarm(at(3), raised("low-2", sentinel.Low, 1))
	p.Alarm(at(4), raised("critical", sentinel.Critical, 1))
	pic := p.Snapshot(at(4))
	if len(pic.Cells) != 2 || len(pic.Units) != 2 || len(pic.Alarms) != 2 {
		t.Errorf("%d cells, %d units, %d alarms; want 2 of each", len(pic.Cells), len(pic.Units), len(pic.Alarms))
	}
	for _, id := range []string{"high", "critical"} {
		if _, ok := p.AlarmByID(id); !ok {
			t.Errorf("alarm %s had to go before one of lower priority", id)
		}
	}
	// The second unit has no room for a trend, and says so.
	if tr, ok := p.Trend("line1", "b", []int{0}, at(0), at(2), time.Second); !ok || len(tr.Times) != 0 {
		t.Errorf("trend beyond the bound: %v, %d steps", ok, len(tr.Times))
	}
	want := `# HELP andon_plant_refused_total Things that the live picture had no room for: a cell, a unit, the trend of a unit, an alarm.
# TYPE andon_plant_refused_total counter
andon_plant_refused_total{what="alarm"} 2
andon_plant_refused_total{what="cell"} 6
andon_plant_refused_total{what="trend"} 1
andon_plant_refused_total{what="unit"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	// An ended run makes room.
	p.UnitDied(at(5), cell, "a")
	p.Record(at(6), cell, reading("c", true, 6), false)
	unit(t, p, at(6), "c")
	if tr, _ := p.Trend("line1", "c", []int{0}, at(0), at(7), time.Second); len(tr.Times) != 1 {
		t.Errorf("the room of a forgotten trend was not given back: %d steps", len(tr.Times))
	}
}
