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

const group, unit = "line1", "unit-1"

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// rig is a table with a clock.
type rig struct {
	t     *testing.T
	table *session.Table
	now   time.Time
}

func newRig(t *testing.T, c session.Config) *rig {
	return &rig{t: t, table: session.New(c), now: start}
}

// take handles one message.
func (r *rig) take(m edgetest.Message) session.Result {
	r.t.Helper()
	topic, err := sparkplug.ParseTopic(m.Topic)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.table.Handle(session.Message{Topic: topic, Payload: m.Payload, Received: r.now}, r.now)
}

func (r *rig) pass(d time.Duration) { r.now = r.now.Add(d) }

// born handles the births of a node with one unit.
func (r *rig) born(n *edgetest.Node) {
	r.t.Helper()
	if got := r.take(n.Birth()); got.Kind != session.NodeBorn {
		r.t.Fatalf("birth is %+v", got)
	}
	if got := r.take(n.UnitBirth(unit, start.UnixNano(), false)); got.Kind != session.UnitBorn {
		r.t.Fatalf("birth of the unit is %+v", got)
	}
}

func reading(n *edgetest.Node, rows int) *telemetry.Record {
	return n.Reading(unit, start.UnixNano(), start.UnixNano(), n.Next, rows)
}

func (r *rig) wantDrop(got session.Result, why session.Reason, rebirth bool) {
	r.t.Helper()
	if got.Kind != session.Dropped || got.Reason != why || got.Rebirth != rebirth || got.Entry != nil {
		r.t.Errorf("got %+v, want dropped for %q with rebirth %v", got, why, rebirth)
	}
}

func TestBirthAndData(t *testing.T) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	got := r.take(n.Birth())
	if got.Kind != session.NodeBorn || got.Birth.Session != 1 || len(got.Birth.Chain) != 1 || len(got.Birth.Highest) != 0 {
		t.Fatalf("birth: %+v", got)
	}
	got = r.take(n.UnitBirth(unit, start.UnixNano(), false))
	if got.Kind != session.UnitBorn || got.Unit.Unit != unit || got.Unit.Backlog {
		t.Fatalf("birth of the unit: %+v", got)
	}
	sent := reading(n, 3)
	got = r.take(n.Data(sent))
	if got.Kind != session.Data || got.Entry.Record == nil || got.Entry.Epoch != n.Epoch || got.Entry.Position != 0 || got.Entry.Node != n.ID {
		t.Fatalf("data: %+v", got)
	}
	if d := got.Entry.Record; d.Len() != 3 || d.Row(2)[0] != sent.Row(2)[0] || d.Row(2)[3] != sent.Row(2)[3] || d.Unit != unit {
		t.Errorf("record is %+v", d)
	}
	got = r.take(n.Loss(telemetry.Loss{Epoch: n.Epoch, From: 5, To: 9, Reason: telemetry.LossOverflow}))
	if got.Kind != session.Data || got.Entry.Loss == nil || got.Entry.Loss.To != 9 || got.Entry.Position != 1 {
		t.Errorf("loss: %+v", got)
	}
	if got := r.take(n.Heartbeat(sparkplug.Heartbeat{Rows: 7})); got.Kind != session.Heartbeat {
		t.Errorf("heartbeat: %+v", got)
	}
	if got := r.take(n.UnitDeath(unit)); got.Kind != session.UnitDied {
		t.Errorf("death of the unit: %+v", got)
	}
	list := r.table.Nodes()
	if len(list) != 1 || !list[0].Alive || list[0].Units != 0 || list[0].Heartbeat.Rows != 7 || list[0].Messages != 6 {
		t.Errorf("nodes: %+v", list)
	}
	// The next birth tells how far the epoch was seen, so that the store can tell
	// what is lost.
	n.Restart(false)
	if got := r.take(n.Birth()); got.Kind != session.NodeBorn || len(got.Birth.Highest) != 1 || got.Birth.Highest[n.Old[0].Epoch] != 1 {
		t.Errorf("second birth: %+v", got.Birth)
	}
}

func TestWhatDoesNotFitIsDropped(t *testing.T) {
	born := start.UnixNano()
	tests := []struct {
		name    string
		message func(n *edgetest.Node) edgetest.Message // after birth
		why     session.Reason
		rebirth bool
	}{
		{"data of another session", func(n *edgetest.Node) edgetest.Message {
			n.Session++
			return n.Data(reading(n, 1))
		}, session.WrongSession, true},
		{"loss of another session", func(n *edgetest.Node) edgetest.Message {
			n.Session++
			return n.Loss(telemetry.Loss{Epoch: n.Epoch, From: 0, To: 1, Reason: telemetry.LossCrash})
		}, session.WrongSession, true},
		{"unit's birth of another session", func(n *edgetest.Node) edgetest.Message {
			n.Session++
			return n.UnitBirth("unit-2", 1, false)
		}, session.WrongSession, true},
		{"unit without a birth", func(n *edgetest.Node) edgetest.Message {
			r := reading(n, 1)
			r.Unit = "other"
			return n.Data(r)
		}, session.UnknownUnit, true},
		{"another fingerprint", func(n *edgetest.Node) edgetest.Message {
			r := reading(n, 1)
			p := edgetest.Dyno()
			p.Signals[0].Name = "another"
			r.Profile = p
			return n.Data(r)
		}, session.UnknownUnit, true},
		{"birth of a unit whose fingerprint is not its signals'", func(n *edgetest.Node) edgetest.Message {
			m := n.UnitBirth("unit-2", born, false)
			m.Payload = replaceOnce(m.Payload, "torque_nm", "torque_mn")
			return m
		}, session.BadBirth, false},
		{"birth of a unit with a bad id", func(n *edgetest.Node) edgetest.Message {
			return n.UnitBirth("unit 2", born, false)
		}, session.BadBirth, false},
		{"birth that is no payload", func(n *edgetest.Node) edgetest.Message {
			return edgetest.Message{Topic: n.Birth().Topic, Payload: []byte{0xff}}
		}, session.BadBirth, false},
		{"data that is no payload", func(n *edgetest.Node) edgetest.Message {
			return edgetest.Message{Topic: n.Data(reading(n, 1)).Topic, Payload: []byte{0xff}}
		}, session.Unidentified, false},
		{"data without the identity", func(n *edgetest.Node) edgetest.Message {
			p := sparkplug.Payload{UUID: sparkplug.RecordUUID, Body: []byte{}}
			return edgetest.Message{Topic: n.Data(reading(n, 1)).Topic, Payload: p.Append(nil)}
		}, session.Unidentified, false},
		{"data of somebody else", func(n *edgetest.Node) edgetest.Message {
			p := sparkplug.Payload{Metrics: []sparkplug.Metric{{Name: "x", DataType: sparkplug.Boolean, Value: sparkplug.BoolValue(true)}}}
			return edgetest.Message{Topic: n.Data(reading(n, 1)).Topic, Payload: p.Append(nil)}
		}, session.Unidentified, false},
		{"death of an earlier session", func(n *edgetest.Node) edgetest.Message {
			n.BdSeq--
			return n.Death()
		}, session.OldDeath, false},
		{"death of an unknown unit", func(n *edgetest.Node) edgetest.Message {
			return n.UnitDeath("other")
		}, session.UnknownUnit, false},
		{"NDATA that is no heartbeat", func(n *edgetest.Node) edgetest.Message {
			p := sparkplug.Payload{Metrics: []sparkplug.Metric{{Name: "x", DataType: sparkplug.Boolean, Value: sparkplug.BoolValue(true)}}}
			return edgetest.Message{Topic: n.Heartbeat(sparkplug.Heartbeat{}).Topic, Payload: p.Append(nil)}
		}, session.Unexpected, false},
		{"a command", func(n *edgetest.Node) edgetest.Message {
			return edgetest.Message{Topic: "spBv1.0/line1/NCMD/cell", Payload: sparkplug.AppendRebirth(nil, 1)}
		}, session.Unexpected, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
			r.born(n)
			r.wantDrop(r.take(tt.message(n)), tt.why, tt.rebirth)
		})
	}
}

func replaceOnce(b []byte, old, with string) []byte {
	for i := range b {
		if len(b)-i >= len(old) && string(b[i:i+len(old)]) == old {
			return append(append(append([]byte(nil), b[:i]...), with...), b[i+len(old):]...)
		}
	}
	return b
}

// TestPoison: what has an identity and cannot be decoded is quarantined under it.
func TestPoison(t *testing.T) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	r.born(n)
	whole := n.Data(reading(n, 3))
	broken := whole
	broken.Payload = dropMetric(t, whole.Payload)
	got := r.take(broken)
	if got.Kind != session.Data || got.Entry.Poison == nil || got.Entry.Record != nil || got.Entry.Position != 0 || got.Err == nil {
		t.Fatalf("got %+v", got)
	}
	if string(got.Entry.Poison.Payload) != string(broken.Payload) || got.Entry.Poison.Reason == "" {
		t.Errorf("poison is %+v", got.Entry.Poison)
	}
	alarm := whole
	alarm.Payload = replaceOnce(whole.Payload, sparkplug.RecordUUID, sparkplug.AlarmUUID+"")
	if len(sparkplug.RecordUUID) != len(sparkplug.AlarmUUID) {
		p, err := sparkplug.Decode(whole.Payload, sparkplug.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		p.UUID = sparkplug.AlarmUUID
		alarm.Payload = p.Append(nil)
	}
	if got := r.take(alarm); got.Kind != session.Data || got.Entry.Poison == nil {
		t.Errorf("alarm event: %+v, want it quarantined", got)
	}
}

// dropMetric removes the last metric, so that the body promises one too many.
func dropMetric(t *testing.T, payload []byte) []byte {
	p, err := sparkplug.Decode(payload, sparkplug.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	p.Metrics = p.Metrics[:len(p.Metrics)-1]
	return p.Append(nil)
}

func TestUnknownNodeIsAskedWithBackoff(t *testing.T) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	n.Birth()
	n.UnitBirth(unit, 1, false)
	var asked []time.Duration
	for range 200 {
		got := r.take(n.Data(reading(n, 1)))
		r.wantDrop(got, session.UnknownNode, got.Rebirth)
		if got.Rebirth {
			asked = append(asked, r.now.Sub(start))
		}
		r.pass(time.Second)
	}
	want := []time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183}
	for i := range want {
		want[i] *= time.Second
	}
	if fmt.Sprint(asked) != fmt.Sprint(want) {
		t.Errorf("asked after %v, want %v", asked, want)
	}
	r.born(n)
	if got := r.take(n.Data(reading(n, 1))); got.Kind != session.Data {
		t.Errorf("after birth: %+v", got)
	}
}

func TestDeath(t *testing.T) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	r.wantDrop(r.take(n.Death()), session.OldDeath, false) // nothing is asked of the dead
	r.born(n)
	old := n.Death()
	n.Connect()
	r.born(n)
	r.wantDrop(r.take(old), session.OldDeath, false)
	if got := r.take(n.Data(reading(n, 1))); got.Kind != session.Data {
		t.Errorf("a late will ended the new session: %+v", got)
	}
	if got := r.take(n.Death()); got.Kind != session.NodeDied {
		t.Errorf("death: %+v", got)
	}
	r.wantDrop(r.take(n.Data(reading(n, 1))), session.UnknownNode, true)
}

// TestAliasesAreOfTheirSession: the same alias stands for another signal in the
// next session, and what is left of the old one is not decoded with it.
func TestAliasesAreOfTheirSession(t *testing.T) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	r.born(n)
	r.take(n.UnitBirth("unit-2", 1, false))
	late := n.Data(reading(n, 1))
	n.Connect()
	r.take(n.Birth())
	r.take(n.UnitBirth("unit-2", 1, false)) // has now the aliases that unit-1 had
	r.wantDrop(r.take(late), session.WrongSession, true)
}

// A profile whose ranges changed has the layout of the one before, but is not the same.
func TestAnotherRangeIsTold(t *testing.T) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	r.born(n)
	first := r.take(n.UnitBirth(unit, 1, false)).Unit.Profile
	if again := r.take(n.UnitBirth("unit-2", 1, false)).Unit.Profile; again != first {
		t.Error("two units of a kind have a profile each")
	}
	high := 400.
	n.Profile.Signals[0].Max = &high
	n.Connect()
	r.take(n.Birth())
	got := r.take(n.UnitBirth(unit, 1, false)).Unit.Profile
	if got.Signals[0].Max == nil || *got.Signals[0].Max != high {
		t.Errorf("the birth's range is %v", got.Signals[0].Max)
	}
	if rec := r.take(n.Data(reading(n, 1))).Entry.Record; rec.Profile != got {
		t.Error("records have the profile of before")
	}
}

func TestBacklogAndRunWithTwoProfiles(t *testing.T) {
	r, n := newRig(t, session.Config{}), edgetest.NewNode(group, "cell")
	r.take(n.Birth())
	old := n.Profile
	r.take(n.UnitBirth(unit, 1, true))
	before := n.Data(reading(n, 1))
	// The unit is on test again, with another profile.
	n.Profile = edgetest.Dyno()
	n.Profile.Signals = n.Profile.Signals[:2]
	n.Profile.Signals[0].Name = "force_n"
	if got := r.take(n.UnitBirth(unit, 2, false)); got.Kind != session.UnitBorn {
		t.Fatalf("%+v", got)
	}
	now := n.Data(reading(n, 1))
	if got := r.take(before); got.Kind != session.Data || len(got.Entry.Record.Profile.Signals) != len(old.Signals) {
		t.Errorf("record of the ended run: %+v", got)
	}
	if got := r.take(now); got.Kind != session.Data || got.Entry.Record.Profile.Signals[0].Name != "force_n" {
		t.Errorf("record of the new run: %+v", got)
	}
	r.take(n.UnitDeath(unit))
	if got := r.take(n.Data(reading(n, 1))); got.Kind != session.Data {
		t.Errorf("record repeated behind the unit's death: %+v", got)
	}
}
