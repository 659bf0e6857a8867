package session_test

import (
	"fmt"
	"testing"
	"time"

	"andon.internal/collector/internal/edgetest"
	"andon.internal/collector/session"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

func TestForeignNodesAreLeftAlone(t *testing.T) {
	r := newRig(t, session.Config{})
	p := sparkplug.Payload{HasTimestamp: true, HasSeq: true, Metrics: []sparkplug.Metric{
		{Name: "bdSeq", DataType: sparkplug.Int64, Value: sparkplug.LongValue(0)},
		{Name: "Pump/Speed", DataType: sparkplug.Double, Value: sparkplug.DoubleValue(1)},
	}}
	birth := edgetest.Message{Topic: "spBv1.0/plant/NBIRTH/Pump 7", Payload: p.Append(nil)}
	if got := r.take(birth); got.Kind != session.Foreign || got.Rebirth {
		t.Errorf("birth with an id that is not ours: %+v", got)
	}
	birth.Topic = "spBv1.0/plant/NBIRTH/pump7"
	if got := r.take(birth); got.Kind != session.Foreign || got.Rebirth {
		t.Errorf("birth: %+v", got)
	}
	data := edgetest.Message{Topic: "spBv1.0/plant/DDATA/pump7/motor", Payload: p.Append(nil)}
	for range 3 {
		if got := r.take(data); got.Kind != session.Foreign || got.Rebirth {
			t.Errorf("data: %+v", got)
		}
	}
	if due := r.table.Tick(r.now.Add(time.Hour)); len(due.Rebirths)+len(due.Gone) != 0 {
		t.Errorf("due: %+v", due)
	}
}

func TestBounds(t *testing.T) {
	t.Run("nodes", func(t *testing.T) {
		r := newRig(t, session.Config{Limits: session.Limits{Nodes: 3}})
		nodes := make([]*edgetest.Node, 3)
		for i := range nodes {
			nodes[i] = edgetest.NewNode(group, fmt.Sprint("cell-", i))
			r.born(nodes[i])
			r.pass(time.Second)
		}
		more := edgetest.NewNode(group, "more")
		r.wantDrop(r.take(more.Birth()), session.TooManyNodes, false)
		r.take(nodes[1].Death())
		if got := r.take(more.Birth()); got.Kind != session.NodeBorn {
			t.Errorf("a dead node was not forgotten for a new one: %+v", got)
		}
		if n := len(r.table.Nodes()); n != 3 {
			t.Errorf("%d nodes", n)
		}
	})
	t.Run("units", func(t *testing.T) {
		r, n := newRig(t, session.Config{Limits: session.Limits{Units: 2}}), edgetest.NewNode(group, "cell")
		r.born(n)
		r.take(n.UnitBirth("unit-2", 1, false))
		r.wantDrop(r.take(n.UnitBirth("unit-3", 1, false)), session.TooManyUnits, false)
		r.take(n.UnitDeath("unit-2"))
		if got := r.take(n.UnitBirth("unit-3", 1, false)); got.Kind != session.UnitBorn {
			t.Errorf("a dead unit was not forgotten for a new one: %+v", got)
		}
	})
	t.Run("signals", func(t *testing.T) {
		r, n := newRig(t, session.Config{Limits: session.Limits{Signals: 9}}), edgetest.NewNode(group, "cell")
		r.born(n)
		r.take(n.UnitBirth("unit-2", 1, false))
		r.wantDrop(r.take(n.UnitBirth("unit-3", 1, false)), session.TooManyUnits, false)
		for range 20 { // the same unit again takes no more room
			if got := r.take(n.UnitBirth("unit-2", 1, false)); got.Kind != session.UnitBorn {
				t.Fatalf("%+v", got)
			}
		}
	})
	t.Run("epochs", func(t *testing.T) {
		r, n := newRig(t, session.Config{Limits: session.Limits{Epochs: 2}}), edgetest.NewNode(group, "cell")
		r.born(n)
		for i := range 2 {
			if got := r.take(n.DataOf(edgetest.NewEpoch(), 0, reading(n, 1), true)); got.Kind != session.Data {
				t.Errorf("epoch %d: %+v", i, got)
			}
		}
		r.take(n.Data(reading(n, 1)))
		r.wantDrop(r.take(n.DataOf(edgetest.NewEpoch(), 0, reading(n, 1), true)), session.WrongSession, true)
		if got := r.take(n.Data(reading(n, 1))); got.Kind != session.Data {
			t.Errorf("a listed epoch: %+v", got)
		}
	})
	t.Run("epochs of losses", func(t *testing.T) {
		r, n := newRig(t, session.Config{Limits: session.Limits{Epochs: 2}}), edgetest.NewNode(group, "cell")
		r.born(n)
		told := func(e telemetry.Epoch) *session.Entry {
			return r.take(n.Loss(telemetry.Loss{Epoch: e, From: 1, To: 2, Reason: telemetry.LossCrash})).Entry
		}
		for i := range 2 {
			if e := told(edgetest.NewEpoch()); e == nil || e.Loss == nil {
				t.Errorf("epoch %d: %+v", i, e)
			}
		}
		if e := told(edgetest.NewEpoch()); e == nil || e.Poison == nil {
			t.Errorf("an epoch too many: %+v", e)
		}
		if e := told(n.Epoch); e == nil || e.Loss == nil {
			t.Errorf("the listed epoch: %+v", e)
		}
	})
}

func FuzzHandle(f *testing.F) {
	n := edgetest.NewNode(group, "cell")
	seeds := []edgetest.Message{
		n.Birth(), n.UnitBirth(unit, 1, false), n.Data(reading(n, 3)),
		n.Loss(telemetry.Loss{Epoch: n.Epoch, From: 1, To: 2, Reason: telemetry.LossCrash}),
		n.Heartbeat(sparkplug.Heartbeat{}), n.UnitDeath(unit), n.Death(),
	}
	births := [][]byte{seeds[0].Payload, seeds[1].Payload}
	for _, m := range seeds {
		f.Add(m.Topic, m.Payload)
	}
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		parsed, err := sparkplug.ParseTopic(topic)
		if err != nil {
			return
		}
		// The same bytes before any birth, and behind the births of a good node.
		table := session.New(session.Config{Limits: session.Limits{Nodes: 2}})
		hostile := session.Message{Topic: parsed, Payload: payload, Received: start}
		table.Handle(hostile, start)
		for i, topic := range []sparkplug.Topic{
			{Type: sparkplug.NBirth, Group: group, Node: "cell"},
			{Type: sparkplug.DBirth, Group: group, Node: "cell", Device: unit},
		} {
			table.Handle(session.Message{Topic: topic, Payload: births[i], Received: start}, start)
		}
		r := table.Handle(hostile, start)
		if r.Kind == session.Data {
			e := r.Entry
			set := 0
			for _, there := range []bool{e.Record != nil, e.Loss != nil, e.Poison != nil} {
				if there {
					set++
				}
			}
			if set != 1 {
				t.Fatalf("entry has %d contents: %+v", set, e)
			}
			if e.Record != nil && e.Record.Check() != nil {
				t.Fatalf("record breaks its promises: %v", e.Record.Check())
			}
		}
		table.Tick(start.Add(time.Hour))
		table.Nodes()
	})
}
