package alarm_test

import (
	"strings"
	"testing"
	"time"

	"andon.internal/shared/alarm"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

var (
	unit  = sentinel.Subject{Group: "plant", Node: "cell-01", Unit: "dyno-1"}
	cell  = sentinel.Subject{Group: "plant", Node: "cell-01"}
	onset = sentinel.Identity{Epoch: telemetry.Epoch{1, 2, 3}, Position: 7, Row: 2}
	begin = time.Unix(1_800_000_000, 0).UTC()
)

// The ids of alarms stand in databases: they must not change.
func TestIDsStayWhatTheyAre(t *testing.T) {
	moved := unit
	moved.Node = "cell-02"
	tests := []struct{ name, got, want string }{
		{"unit", alarm.ID("thermal-runaway", unit, onset), "9c91ef8eafddc6744e3359b9"},
		{"the unit at another cell", alarm.ID("thermal-runaway", moved, onset), "9c91ef8eafddc6744e3359b9"},
		{"node", alarm.ID("node-offline", cell, sentinel.Identity{}), "fb4d9576d07781e25f2bad11"},
		{"silence of the unit", alarm.SilenceID("data-silence", unit, onset, begin), "9ad07eab2ed48c74ac406fa7"},
		{"silence of the node", alarm.SilenceID("node-offline", cell, sentinel.Identity{}, begin), "eebec27692140e4f723c2469"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, tt.got, tt.want)
		}
	}
}

func TestIDsTellApart(t *testing.T) {
	seen := map[string]string{}
	add := func(name, id string) {
		if other, taken := seen[id]; taken {
			t.Errorf("%s and %s are both %s", name, other, id)
		}
		seen[id] = name
	}
	change := func(f func(o *sentinel.Identity)) sentinel.Identity {
		o := onset
		f(&o)
		return o
	}
	add("one", alarm.ID("hot", unit, onset))
	add("another rule", alarm.ID("hotter", unit, onset))
	add("another unit", alarm.ID("hot", sentinel.Subject{Group: "plant", Node: "cell-01", Unit: "dyno-2"}, onset))
	add("another group", alarm.ID("hot", sentinel.Subject{Group: "plant2", Node: "cell-01", Unit: "dyno-1"}, onset))
	add("the node", alarm.ID("hot", cell, onset))
	add("another row", alarm.ID("hot", unit, change(func(o *sentinel.Identity) { o.Row++ })))
	add("another position", alarm.ID("hot", unit, change(func(o *sentinel.Identity) { o.Position++ })))
	add("another epoch", alarm.ID("hot", unit, change(func(o *sentinel.Identity) { o.Epoch[0]++ })))
	add("silence", alarm.SilenceID("hot", unit, onset, begin))
	add("silence again", alarm.SilenceID("hot", unit, onset, begin.Add(1)))
}

func TestLife(t *testing.T) {
	type step struct {
		sequence int
		kind     alarm.Kind
		applied  bool
		fault    string
		state    alarm.State
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"acknowledged, then normal", []step{
			{1, alarm.Raised, true, "", alarm.Unacknowledged},
			{2, alarm.Ack, true, "", alarm.Acknowledged},
			{3, alarm.Clear, true, "", alarm.Closed},
		}},
		{"normal, then acknowledged", []step{
			{1, alarm.Raised, true, "", alarm.Unacknowledged},
			{2, alarm.Clear, true, "", alarm.ReturnedUnacknowledged},
			{3, alarm.Ack, true, "", alarm.Closed},
		}},
		{"the unit left the test", []step{
			{1, alarm.Raised, true, "", alarm.Unacknowledged},
			{2, alarm.Ended, true, "", alarm.ReturnedUnacknowledged},
		}},
		{"raised again before it was acknowledged", []step{
			{1, alarm.Raised, true, "", alarm.Unacknowledged},
			{2, alarm.Clear, true, "", alarm.ReturnedUnacknowledged},
			{3, alarm.Raised, true, "", alarm.Unacknowledged},
			{4, alarm.Ack, true, "", alarm.Acknowledged},
		}},
		{"raised again after it was acknowledged", []step{
			{1, alarm.Raised, true, "", alarm.Unacknowledged},
			{2, alarm.Ack, true, "", alarm.Acknowledged},
			{3, alarm.Raised, true, "", alarm.Unacknowledged},
		}},
		{"events that come twice", []step{
			{1, alarm.Raised, true, "", alarm.Unacknowledged},
			{1, alarm.Raised, false, "", alarm.Unacknowledged},
			{2, alarm.Clear, true, "", alarm.ReturnedUnacknowledged},
			{1, alarm.Raised, false, "", alarm.ReturnedUnacknowledged},
			{2, alarm.Clear, false, "", alarm.ReturnedUnacknowledged},
		}},
		{"a clear before its raise", []step{
			{2, alarm.Clear, false, "event 2 of alarm a follows event 0", alarm.ReturnedUnacknowledged},
			{1, alarm.Raised, true, "", alarm.Unacknowledged},
			{2, alarm.Clear, true, "", alarm.ReturnedUnacknowledged},
		}},
		{"an event that nobody knows", []step{
			{1, alarm.Raised, true, "", alarm.Unacknowledged},
			{2, "shelved", false, "unknown kind", alarm.Unacknowledged},
			{2, alarm.Clear, true, "", alarm.ReturnedUnacknowledged},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := alarm.Alarm{ID: "a"}
			for n, s := range tt.steps {
				e := alarm.Event{Alarm: "a", Sequence: s.sequence, Kind: s.kind, At: begin.Add(time.Duration(n) * time.Second), By: "kim"}
				applied, err := a.Apply(e)
				if applied != s.applied || (err != nil) != (s.fault != "") || (err != nil && !strings.Contains(err.Error(), s.fault)) {
					t.Errorf("step %d: applied %v, error %v", n, applied, err)
				}
				if a.State() != s.state {
					t.Errorf("step %d: %s, want %s", n, a.State(), s.state)
				}
			}
		})
	}
	a := alarm.Alarm{ID: "a"}
	if _, err := a.Apply(alarm.Event{Alarm: "b", Sequence: 1, Kind: alarm.Raised}); err == nil {
		t.Error("an event of another alarm was applied")
	}
}

func TestTimesOfALife(t *testing.T) {
	a := alarm.Alarm{ID: "a"}
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	for n, e := range []alarm.Event{
		{Kind: alarm.Raised}, {Kind: alarm.Clear}, {Kind: alarm.Raised}, {Kind: alarm.Ack, By: "kim", Note: "seen"}, {Kind: alarm.Clear},
	} {
		e.Alarm, e.Sequence, e.At = "a", n+1, at(n)
		if _, err := a.Apply(e); err != nil {
			t.Fatal(err)
		}
		if n == 2 && (!a.ClearedAt.IsZero() || a.RaisedAt != at(0) || a.ActiveAt != at(2)) {
			t.Errorf("raised again: %+v", a)
		}
	}
	if a.RaisedAt != at(0) || a.AckedAt != at(3) || a.ClearedAt != at(4) || a.AckedBy != "kim" || a.Note != "seen" || a.State() != alarm.Closed {
		t.Errorf("%+v", a)
	}
}
