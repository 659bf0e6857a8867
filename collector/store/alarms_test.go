package store_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/collector/store"
	"andon.internal/shared/alarm"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

// life returns the changes of an alarm's life of the given events, a second apart.
func life(t *testing.T, id, unit string, kinds ...alarm.Kind) []store.AlarmChange {
	t.Helper()
	a := alarm.Alarm{
		ID: id, Rule: "hot", Priority: sentinel.High, Group: node.Group, Node: node.ID, Unit: unit, Quality: alarm.Good,
		OnsetAt: now.Add(-time.Second), Figures: []alarm.Figure{{Name: "t", Value: 111.25}}, Response: `look "there"\`,
	}
	var out []store.AlarmChange
	for n, k := range kinds {
		e := alarm.Event{Alarm: id, Sequence: n + 1, Kind: k, At: now.Add(time.Duration(n) * time.Second)}
		if k == alarm.Ack {
			e.By, e.Note = "kim", "a\x00b"
		}
		if _, err := a.Apply(e); err != nil {
			t.Fatal(err)
		}
		j := store.JournalledAlarm{Alarm: a, Onset: sentinel.Identity{Epoch: epoch(1), Position: 7, Row: 3}}
		out = append(out, store.AlarmChange{JournalledAlarm: j, Event: e})
	}
	return out
}

func TestAlarmsAreJournalledOnce(t *testing.T) {
	f := setUp(t)
	all := slices.Concat(
		life(t, "open", "press-1", alarm.Raised),
		life(t, "seen", "press-1", alarm.Raised, alarm.Ack),
		life(t, "back", "press-1", alarm.Raised, alarm.Clear),
		life(t, "over", "press-1", alarm.Raised, alarm.Clear, alarm.Ack),
		life(t, "cell", "", alarm.Raised),
		life(t, "again", "press-1", alarm.Raised, alarm.Clear, alarm.Raised),
	)
	for _, batch := range [][]store.AlarmChange{all[:4], all, all[2:5], nil} {
		if err := f.s.JournalAlarms(t.Context(), f.lease, batch); err != nil {
			t.Fatal(err)
		}
	}
	if got := one(t, f.dsn, `SELECT count(*), count(DISTINCT (alarm_id, sequence)) FROM alarm_event`); got != "12|12" {
		t.Errorf("events: %s", got)
	}
	got := lines(t, f.dsn, `SELECT alarm_id, condition, acked_by, sequence FROM alarm ORDER BY 1`)
	want := []string{"again|active||3", "back|normal||2", "cell|active||1", "open|active||1", "over|normal|kim|3", "seen|active|kim|2"}
	if !slices.Equal(got, want) {
		t.Errorf("alarms %q, want %q", got, want)
	}
	open, err := f.s.OpenAlarms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, j := range open {
		ids = append(ids, j.Alarm.ID)
	}
	if strings.Join(ids, " ") != "again back cell open seen" {
		t.Errorf("open: %v", ids)
	}
	wanted := all[0].JournalledAlarm
	if !reflect.DeepEqual(open[3], wanted) {
		t.Errorf("comes back as %+v, want %+v", open[3], wanted)
	}
	if wanted = all[8].JournalledAlarm; !reflect.DeepEqual(open[2], wanted) {
		t.Errorf("comes back as %+v, want %+v", open[2], wanted)
	}
	if wanted = all[11].JournalledAlarm; !reflect.DeepEqual(open[0], wanted) {
		t.Errorf("comes back as %+v, want %+v", open[0], wanted)
	}
}

// TestOlderAlarmsGetTheTimeTheyCameLast: those that an older program journalled.
func TestOlderAlarmsGetTheTimeTheyCameLast(t *testing.T) {
	f := setUp(t)
	all := slices.Concat(life(t, "again", "press-1", alarm.Raised, alarm.Clear, alarm.Raised), life(t, "once", "press-1", alarm.Raised, alarm.Ack))
	if err := f.s.JournalAlarms(t.Context(), f.lease, all); err != nil {
		t.Fatal(err)
	}
	exec(t, f.dsn, `ALTER TABLE alarm DROP COLUMN active_at`, migration(t, "00004_alarm_active_at.sql"))
	got := lines(t, f.dsn, `SELECT alarm_id, extract(epoch FROM active_at - raised_at)::int FROM alarm ORDER BY 1`)
	if want := []string{"again|2", "once|0"}; !slices.Equal(got, want) {
		t.Errorf("since %q, want %q", got, want)
	}
}

func TestJournalIsOnlyAddedTo(t *testing.T) {
	f := setUp(t)
	if err := f.s.JournalAlarms(t.Context(), f.lease, life(t, "a", "press-1", alarm.Raised)); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), f.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, sql := range []string{`UPDATE alarm_event SET note = 'x'`, `DELETE FROM alarm_event`} {
		if _, err := conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "only added to") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func TestJournalNeedsTheLease(t *testing.T) {
	f := setUp(t)
	old := f.lease
	if _, ok, err := f.s.AcquireLease(t.Context(), "intake", "test", time.Minute); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := f.s.JournalAlarms(t.Context(), old, life(t, "a", "press-1", alarm.Raised)); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("error %v, want ErrLeaseLost", err)
	}
	if got := one(t, f.dsn, `SELECT count(*) FROM alarm`); got != "0" {
		t.Errorf("%s alarms", got)
	}
}

func TestReadAlarmsOfUnit(t *testing.T) {
	f := setUp(t)
	if err := f.s.JournalAlarms(t.Context(), f.lease, slices.Concat(
		life(t, "open", "press-1", alarm.Raised), life(t, "back", "press-1", alarm.Raised, alarm.Clear),
		life(t, "other", "press-2", alarm.Raised), life(t, "cell", "", alarm.Raised),
	)); err != nil {
		t.Fatal(err)
	}
	r, err := store.OpenReader(t.Context(), store.Config{DSN: f.dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, tt := range []struct {
		unit     string
		from, to int // seconds from now
		limit    int
		want     string
	}{
		{"press-1", -10, 10, 9, "back open"},
		{"press-1", -10, 10, 1, "back"},
		{"press-1", 5, 10, 9, "open"},
		{"press-1", -10, 0, 9, ""},
		{"", -10, 10, 9, "cell"},
	} {
		list, err := r.Alarms(t.Context(), node.Group, tt.unit, now.Add(time.Duration(tt.from)*time.Second), now.Add(time.Duration(tt.to)*time.Second), tt.limit)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, a := range list {
			ids = append(ids, a.ID)
		}
		if got := strings.Join(ids, " "); got != tt.want {
			t.Errorf("%q from %d to %d: %s, want %s", tt.unit, tt.from, tt.to, got, tt.want)
		}
	}
}

func TestNodesOnTest(t *testing.T) {
	f := setUp(t)
	ended := with(entry(epoch(2), 0, 1), func(e *store.Entry, r *telemetry.Record) {
		e.Node, r.Unit, r.End = other, "press-2", &telemetry.End{Time: now.UnixNano()}
	})
	old := with(entry(epoch(3), 0, 1), func(e *store.Entry, r *telemetry.Record) {
		e.Node.ID, r.Unit, r.Times = "cell-old", "press-3", []int64{now.Add(-25 * time.Hour).UnixNano()}
	})
	f.commit(entry(epoch(1), 0, 1), ended, old)
	list, err := f.s.NodesOnTest(t.Context())
	if err != nil || !slices.Equal(list, []telemetry.Node{node}) {
		t.Errorf("%v, %v", list, err)
	}
}
