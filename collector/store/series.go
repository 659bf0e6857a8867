package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"andon.internal/shared/telemetry"
)

// Bounds of a series.
const (
	MaxPoints        = 10_000
	MaxSeriesSignals = 64
)

// SeriesQuery asks for signals of a unit over a time.
type SeriesQuery struct {
	Group, Unit string
	Signals     []string  // by name; those that the profile does not have are left out
	From, To    time.Time // readings of From <= time < To
	Points      int       // about how many are wanted; 1 to MaxPoints
}

// Series is signals of a unit over a time: every reading where there are not more
// than the points asked for, otherwise steps with the least, greatest and average of
// the readings in them. Each slice has one entry for each of Times.
type Series struct {
	Profile   *telemetry.Profile // as installed
	Step      time.Duration      // 0: Times are those of readings
	Times     []time.Time        // else the beginnings of the steps that have a reading
	Counts    []int64            // readings in the step
	Qualities []telemetry.Quality
	Signals   []SignalSeries
}

// SignalSeries is one signal of a [Series]; NaN where it has no value.
type SignalSeries struct {
	Signal         int // its index in the profile
	Low, High, Avg []float64
}

// Series returns stored readings. ok is false when the unit is not known.
func (r *Reader) Series(ctx context.Context, q SeriesQuery) (out Series, ok bool, err error) {
	const op = "read series"
	if q.Points < 1 || q.Points > MaxPoints || len(q.Signals) > MaxSeriesSignals || !q.From.Before(q.To) {
		return Series{}, false, fmt.Errorf("%s: 1 to %d points of at most %d signals, from before to", op, MaxPoints, MaxSeriesSignals)
	}
	c, err := r.known(ctx)
	if err != nil {
		return Series{}, false, r.s.fail(ctx, c, op, err, false)
	}
	key, profile, err := r.unitKey(ctx, q)
	if err != nil || key == 0 {
		return Series{}, false, r.s.fail(ctx, c, op, err, false)
	}
	t := c.tables[profile]
	if t == nil {
		return Series{}, false, r.s.fail(ctx, c, op, ErrUnknownProfile, false)
	}
	out.Profile = t.profile
	for _, name := range q.Signals {
		if i := t.profile.Index(name); i >= 0 {
			out.Signals = append(out.Signals, SignalSeries{Signal: i})
		}
	}
	if err := r.fill(ctx, &out, key, q); err != nil {
		return Series{}, false, r.s.fail(ctx, c, op, err, false)
	}
	return out, true, nil
}

// unitKey finds a unit and the profile of its last run that began before q.To; key is
// 0 when there is none.
func (r *Reader) unitKey(ctx context.Context, q SeriesQuery) (key int64, profile string, err error) {
	err = r.s.read(ctx, call{
		sql: `SELECT u.unit_key, p.name FROM unit u LEFT JOIN LATERAL (SELECT x.profile_key FROM unit_run x
 WHERE x.unit_key = u.unit_key AND x.born < $3::timestamptz ORDER BY x.born DESC LIMIT 1) l ON true
 JOIN profile p ON p.profile_key = coalesce(l.profile_key, u.profile_key)
 WHERE (u.group_id, u.unit_id) = ($1::text, $2::text)`,
		params: [][]byte{[]byte(q.Group), []byte(q.Unit), appendMicros(nil, q.To.UnixMicro())},
		row: func(v [][]byte) (err error) {
			profile = string(v[1])
			key, err = parseInt(v[0])
			return err
		},
	})
	return key, profile, err
}

// fill reads the readings themselves, and when there are too many of them, steps.
func (r *Reader) fill(ctx context.Context, out *Series, key int64, q SeriesQuery) error {
	bounds := [][]byte{intParam(key), appendMicros(nil, q.From.UnixMicro()), appendMicros(nil, q.To.UnixMicro())}
	raw := call{
		sql: seriesSQL(out, false), params: append(slices.Clone(bounds), intParam(int64(q.Points)+1)),
		binary: true, row: out.addReading,
	}
	if err := r.s.read(ctx, raw); err != nil || len(out.Times) <= q.Points {
		return err
	}
	out.clear()
	out.Step = stepFor(q.To.Sub(q.From), q.Points)
	return r.s.read(ctx, call{
		sql: seriesSQL(out, true), params: append(bounds, intParam(out.Step.Microseconds())),
		binary: true, row: out.addStep,
	})
}

// seriesSQL selects readings ($4 of them at most), or steps of $4 microseconds.
func seriesSQL(out *Series, steps bool) string {
	var b strings.Builder
	if steps {
		b.WriteString(`SELECT ((extract(epoch FROM ts) * 1000000)::bigint / $4::bigint) * $4::bigint AS t, count(*), bit_or(quality)`)
	} else {
		b.WriteString(`SELECT (extract(epoch FROM ts) * 1000000)::bigint, quality`)
	}
	for i := range out.Signals {
		s := &out.Profile.Signals[out.Signals[i].Signal]
		column := quote(s.Name)
		if s.Type == telemetry.Boolean {
			column += "::int"
		}
		if steps {
			fmt.Fprintf(&b, ", min(%[1]s)::float8, max(%[1]s)::float8, avg(%[1]s)::float8", column)
		} else {
			fmt.Fprintf(&b, ", %s::float8", column)
		}
	}
	b.WriteString(` FROM ` + quote(tableName(out.Profile.Name)) + ` WHERE unit_key = $1::int AND ts >= $2::timestamptz AND ts < $3::timestamptz`)
	if steps {
		b.WriteString(` GROUP BY t ORDER BY t`)
	} else {
		b.WriteString(` ORDER BY ts, epoch_key, position, row_no LIMIT $4::bigint`)
	}
	return b.String()
}

// steps are the widths that people can read off an axis.
var steps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
}

// stepFor is the first width that gives at most points steps.
func stepFor(span time.Duration, points int) time.Duration {
	for _, s := range steps {
		if span <= s*time.Duration(points) {
			return s
		}
	}
	const day = 24 * time.Hour
	return (span/time.Duration(points)/day + 1) * day
}

func (s *Series) clear() {
	s.Times, s.Counts, s.Qualities = nil, nil, nil
	for i := range s.Signals {
		g := &s.Signals[i]
		g.Low, g.High, g.Avg = nil, nil, nil
	}
}

// addReading reads a row of one reading, in binary form.
func (s *Series) addReading(v [][]byte) error {
	if len(v[0]) != 8 || len(v[1]) != 2 {
		return fmt.Errorf("a reading's time and quality have %d and %d bytes", len(v[0]), len(v[1]))
	}
	s.add(v[0], 1, v[1])
	for i := range s.Signals {
		f := float8(v[2+i])
		g := &s.Signals[i]
		g.Low, g.High, g.Avg = append(g.Low, f), append(g.High, f), append(g.Avg, f)
	}
	return nil
}

// addStep reads a row of one step, in binary form.
func (s *Series) addStep(v [][]byte) error {
	if len(v[0]) != 8 || len(v[1]) != 8 || len(v[2]) != 2 {
		return fmt.Errorf("a step's time, count and quality have %d, %d and %d bytes", len(v[0]), len(v[1]), len(v[2]))
	}
	s.add(v[0], int64(binary.BigEndian.Uint64(v[1])), v[2])
	for i := range s.Signals {
		g := &s.Signals[i]
		g.Low = append(g.Low, float8(v[3+3*i]))
		g.High = append(g.High, float8(v[4+3*i]))
		g.Avg = append(g.Avg, float8(v[5+3*i]))
	}
	return nil
}

func (s *Series) add(micros []byte, count int64, quality []byte) {
	s.Times = append(s.Times, time.UnixMicro(int64(binary.BigEndian.Uint64(micros))).UTC())
	s.Counts = append(s.Counts, count)
	s.Qualities = append(s.Qualities, telemetry.Quality(binary.BigEndian.Uint16(quality)))
}

// float8 reads a double precision value; NULL is NaN.
func float8(b []byte) float64 {
	if len(b) != 8 {
		return math.NaN()
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b))
}
