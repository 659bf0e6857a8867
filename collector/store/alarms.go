package store

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"andon.internal/shared/alarm"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

// MaxOpenAlarms bounds the answer of [Store.OpenAlarms].
const MaxOpenAlarms = 10_000

// JournalledAlarm is an alarm with the reading that it goes back to.
type JournalledAlarm struct {
	Alarm alarm.Alarm
	Onset sentinel.Identity
}

// AlarmChange is one event of an alarm, and the alarm as the event left it.
type AlarmChange struct {
	JournalledAlarm
	Event alarm.Event
}

// JournalAlarms writes events and the alarms they belong to, in one transaction. An
// event that is there already changes nothing, so a call may be repeated. It makes one
// attempt. Errors are as for [Store.Commit].
func (s *Store) JournalAlarms(ctx context.Context, l Lease, changes []AlarmChange) error {
	const op = "journal alarms"
	if len(changes) == 0 {
		return nil
	}
	t, err := s.begin(ctx, &l)
	if err != nil {
		return s.fail(ctx, nil, op, err, false)
	}
	if err := t.commit(ctx, upsertAlarms(changes), insertAlarmEvents(changes)); err != nil {
		return s.fail(ctx, nil, op, err, t.unknown)
	}
	return nil
}

// upsertAlarms writes the last state of each alarm of the list.
func upsertAlarms(changes []AlarmChange) call {
	last := map[string]*JournalledAlarm{}
	for i := range changes {
		j := &changes[i].JournalledAlarm
		if have := last[j.Alarm.ID]; have == nil || have.Alarm.Sequence < j.Alarm.Sequence {
			last[j.Alarm.ID] = j
		}
	}
	rows := make([]*JournalledAlarm, 0, len(last))
	for _, j := range last {
		rows = append(rows, j)
	}
	slices.SortFunc(rows, func(a, b *JournalledAlarm) int { return cmp.Compare(a.Alarm.ID, b.Alarm.ID) })
	var texts [14]list
	var position, row, sequence, onset, raised, cleared, acked, active list
	for _, j := range rows {
		a := &j.Alarm
		figures, err := json.Marshal(a.Figures)
		if err != nil || a.Figures == nil { // a figure that is not a number
			figures = []byte("[]")
		}
		for i, text := range []string{
			a.ID, a.Rule, a.Priority.String(), a.Group, a.Node, a.Unit, string(a.Condition), string(a.Quality),
			j.Onset.Epoch.String(), a.AckedBy, a.Note, string(figures), a.Consequence, a.Response,
		} {
			texts[i].text(text)
		}
		position.int(int64(j.Onset.Position))
		row.int(int64(j.Onset.Row))
		sequence.int(int64(a.Sequence))
		moment(&onset, a.OnsetAt)
		moment(&raised, a.RaisedAt)
		moment(&cleared, a.ClearedAt)
		moment(&acked, a.AckedAt)
		moment(&active, a.ActiveAt)
	}
	c := call{sql: `INSERT INTO alarm (alarm_id, rule, priority, group_id, node_id, unit_id, condition, quality, onset_epoch,
 acked_by, note, figures, consequence, response, onset_position, onset_row, sequence, onset_at, raised_at, cleared_at, acked_at,
 active_at)
 SELECT d.a, d.r, d.p, d.g, d.n, nullif(d.u, ''), d.c, d.q, d.e, d.b, d.o, d.f::jsonb, d.x, d.y, d.ps, d.rw, d.s, d.t1, d.t2, d.t3, d.t4, d.t5
 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
 $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[], $16::int[], $17::int[], $18::timestamptz[],
 $19::timestamptz[], $20::timestamptz[], $21::timestamptz[], $22::timestamptz[])
 d(a, r, p, g, n, u, c, q, e, b, o, f, x, y, ps, rw, s, t1, t2, t3, t4, t5)
 ON CONFLICT (alarm_id) DO UPDATE SET node_id = excluded.node_id, condition = excluded.condition, quality = excluded.quality,
 raised_at = excluded.raised_at, active_at = excluded.active_at, cleared_at = excluded.cleared_at, acked_at = excluded.acked_at, acked_by = excluded.acked_by,
 note = excluded.note, figures = excluded.figures, sequence = excluded.sequence
 WHERE alarm.sequence < excluded.sequence`}
	for i := range texts {
		c.params = append(c.params, texts[i].param())
	}
	for _, l := range []*list{&position, &row, &sequence, &onset, &raised, &cleared, &acked, &active} {
		c.params = append(c.params, l.param())
	}
	return c
}

// moment adds a time; the zero time is NULL.
func moment(l *list, t time.Time) {
	if t.IsZero() {
		l.null()
	} else {
		l.micros(t.UnixMicro())
	}
}

func insertAlarmEvents(changes []AlarmChange) call {
	var ids, sequences, kinds, at, actors, notes list
	for i := range changes {
		e := &changes[i].Event
		ids.text(e.Alarm)
		sequences.int(int64(e.Sequence))
		kinds.text(string(e.Kind))
		moment(&at, e.At)
		actors.text(e.By)
		notes.text(e.Note)
	}
	return call{
		sql: `INSERT INTO alarm_event (alarm_id, sequence, kind, at, actor, note) SELECT * FROM unnest($1::text[], $2::int[],
 $3::text[], $4::timestamptz[], $5::text[], $6::text[]) ON CONFLICT DO NOTHING`,
		params: [][]byte{
			ids.param(), sequences.param(), kinds.param(), at.param(), actors.param(), notes.param(),
		},
	}
}

const alarmColumns = `alarm_id, rule, priority, group_id, node_id, coalesce(unit_id, ''), condition, quality, onset_epoch,
 acked_by, note, figures::text, consequence, response, onset_position, onset_row, sequence,
 (extract(epoch FROM onset_at) * 1000000)::bigint, (extract(epoch FROM raised_at) * 1000000)::bigint,
 (extract(epoch FROM cleared_at) * 1000000)::bigint, (extract(epoch FROM acked_at) * 1000000)::bigint,
 (extract(epoch FROM active_at) * 1000000)::bigint`

// OpenAlarms returns the alarms that are active or not acknowledged, the newest first
// and at most [MaxOpenAlarms].
func (s *Store) OpenAlarms(ctx context.Context) ([]JournalledAlarm, error) {
	out, err := s.selectAlarms(ctx, `SELECT `+alarmColumns+` FROM alarm WHERE condition = 'active' OR acked_at IS NULL
 ORDER BY raised_at DESC, alarm_id LIMIT $1::bigint`, intParam(MaxOpenAlarms))
	if err != nil {
		return nil, s.fail(ctx, nil, "read open alarms", err, false)
	}
	return out, nil
}

// NodesOnTest returns the nodes that had a unit on test within the last day and did not
// say that it ended.
func (s *Store) NodesOnTest(ctx context.Context) ([]telemetry.Node, error) {
	var out []telemetry.Node
	err := s.read(ctx, call{
		sql: `SELECT DISTINCT n.group_id, n.node_id FROM unit_run r JOIN node n USING (node_key)
 WHERE r.died IS NULL AND coalesce(r.last_ts, r.born) > $1::timestamptz ORDER BY 1, 2`,
		params: [][]byte{appendMicros(nil, s.cfg.Now().Add(-24*time.Hour).UnixMicro())},
		row: func(v [][]byte) error {
			out = append(out, telemetry.Node{Group: string(v[0]), ID: string(v[1])})
			return nil
		},
	})
	if err != nil {
		return nil, s.fail(ctx, nil, "read nodes on test", err, false)
	}
	return out, nil
}

// Alarms returns the alarms of a unit that were raised before to and not over before
// from, the newest first. An empty unit means the alarms about nodes of the group.
func (r *Reader) Alarms(ctx context.Context, group, unit string, from, to time.Time, limit int) ([]alarm.Alarm, error) {
	list, err := r.s.selectAlarms(ctx, `SELECT `+alarmColumns+` FROM alarm WHERE group_id = $1::text
 AND unit_id IS NOT DISTINCT FROM nullif($2::text, '') AND raised_at < $4::timestamptz
 AND (condition = 'active' OR cleared_at >= $3::timestamptz) ORDER BY raised_at DESC, alarm_id LIMIT $5::bigint`,
		[]byte(group), []byte(unit), appendMicros(nil, from.UnixMicro()), appendMicros(nil, to.UnixMicro()), intParam(int64(limit)))
	if err != nil {
		return nil, r.s.fail(ctx, nil, "read alarms", err, false)
	}
	return alarmsOf(list), nil
}

// OpenAlarms returns the alarms that are active or not acknowledged, as
// [Store.OpenAlarms] does.
func (r *Reader) OpenAlarms(ctx context.Context) ([]alarm.Alarm, error) {
	list, err := r.s.OpenAlarms(ctx)
	return alarmsOf(list), err
}

// alarmsOf leaves out what only the journal needs.
func alarmsOf(list []JournalledAlarm) []alarm.Alarm {
	out := make([]alarm.Alarm, len(list))
	for i := range list {
		out[i] = list[i].Alarm
	}
	return out
}

func (s *Store) selectAlarms(ctx context.Context, sql string, params ...[]byte) (out []JournalledAlarm, err error) {
	err = s.read(ctx, call{sql: sql, params: params, row: func(v [][]byte) error {
		j, err := readAlarm(v)
		out = append(out, j)
		return err
	}})
	return out, err
}

// readAlarm reads a row of alarmColumns.
func readAlarm(v [][]byte) (j JournalledAlarm, err error) {
	text := func(i int) string { return string(v[i]) }
	j.Alarm = alarm.Alarm{
		ID: text(0), Rule: text(1), Group: text(3), Node: text(4), Unit: text(5), Condition: alarm.Condition(text(6)),
		Quality: alarm.Quality(text(7)), AckedBy: text(9), Note: text(10), Consequence: text(12), Response: text(13),
	}
	if err := j.Alarm.Priority.UnmarshalText(v[2]); err != nil {
		return j, err
	}
	if j.Onset.Epoch, err = telemetry.ParseEpoch(text(8)); err != nil {
		return j, err
	}
	if err := json.Unmarshal(v[11], &j.Alarm.Figures); err != nil {
		return j, err
	}
	var numbers [3]int64
	if err := ints(v[14:], &numbers[0], &numbers[1], &numbers[2]); err != nil {
		return j, err
	}
	j.Onset.Position, j.Onset.Row, j.Alarm.Sequence = uint64(numbers[0]), int(numbers[1]), int(numbers[2])
	for i, t := range []*time.Time{&j.Alarm.OnsetAt, &j.Alarm.RaisedAt, &j.Alarm.ClearedAt, &j.Alarm.AckedAt, &j.Alarm.ActiveAt} {
		if v[17+i] == nil {
			continue
		}
		us, err := parseInt(v[17+i])
		if err != nil {
			return j, err
		}
		*t = time.UnixMicro(us).UTC()
	}
	return j, nil
}
