package web

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon.internal/collector/plant"
	"andon.internal/shared/alarm"
	"andon.internal/shared/telemetry"
)

// Bounds of a series.
const (
	defaultPoints = 900
	maxPoints     = 4000
	maxSignals    = 24
	maxRange      = 366 * 24 * time.Hour
	maxBands      = 200
)

// seriesView is a chart's data.
type seriesView struct {
	Stamp
	Group   string     `json:"group"`
	Unit    string     `json:"unit"`
	From    int64      `json:"from"`
	To      int64      `json:"to"`
	StepMS  int64      `json:"step_ms"` // 0: readings as they were taken
	GapMS   int64      `json:"gap_ms"`  // readings further apart are not joined by a line
	Sim     bool       `json:"sim"`     // at least one of the readings is simulated
	Times   []int64    `json:"t"`
	Signals []lineView `json:"signals"`
	Gaps    [][2]int64 `json:"gaps"`  // on test, and no readings
	Bands   []bandView `json:"bands"` // alarms
	Runs    [][2]int64 `json:"runs"`  // on test
	Profile *Profile   `json:"profile"`
}

// lineView is one signal of a chart; low and high are absent where they are what avg is.
type lineView struct {
	Name string   `json:"name"`
	Avg  []number `json:"avg"`
	Low  []number `json:"low,omitempty"`
	High []number `json:"high,omitempty"`
}

// bandView is an alarm on a chart.
type bandView struct {
	From     int64       `json:"from"`
	To       int64       `json:"to"`
	ID       string      `json:"id"`
	Rule     string      `json:"rule"`
	Priority string      `json:"priority"`
	State    alarm.State `json:"state"`
}

// request is what a chart asks for.
type request struct {
	group, unit string
	signals     []string // empty: those of the fleet page
	from, to    time.Time
	points      int
}

// parseRange reads ?range=15m, or ?from=&to= as RFC 3339 or ms since 1970.
func parseRange(q url.Values, now time.Time) (from, to time.Time, err error) {
	bad := errors.New("give range, such as 15m, 8h or 7d, or from and to as RFC 3339 or ms since 1970, from before to and at most a year")
	if q.Get("from") != "" || q.Get("to") != "" {
		if from, err = parseTime(q.Get("from")); err != nil {
			return from, to, bad
		}
		if to, err = parseTime(q.Get("to")); err != nil {
			return from, to, bad
		}
	} else {
		span := plant.Window
		if text := q.Get("range"); text != "" {
			if days, ok := strings.CutSuffix(text, "d"); ok {
				n, err := strconv.Atoi(days)
				if err != nil || n < 1 || n > 366 {
					return from, to, bad
				}
				span = time.Duration(n) * 24 * time.Hour
			} else if span, err = time.ParseDuration(text); err != nil {
				return from, to, bad
			}
		}
		from, to = now.Add(-span), now
	}
	if !from.Before(to) || to.Sub(from) > maxRange || from.Year() < 1970 || to.Year() > 9999 {
		return from, to, bad
	}
	return from, to, nil
}

func parseTime(text string) (time.Time, error) {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(ms), nil
	}
	return time.Parse(time.RFC3339, text)
}

// parseRequest reads a chart's query.
func parseRequest(r *http.Request, now time.Time) (q request, err error) {
	q = request{group: r.PathValue("group"), unit: r.PathValue("unit"), points: defaultPoints}
	values := r.URL.Query()
	if err = errors.Join(telemetry.CheckID("group", q.group), telemetry.CheckID("unit", q.unit)); err != nil {
		return q, err
	}
	if q.from, q.to, err = parseRange(values, now); err != nil {
		return q, err
	}
	if text := values.Get("points"); text != "" {
		if q.points, err = strconv.Atoi(text); err != nil || q.points < 10 || q.points > maxPoints {
			return q, errors.New("points must be 10 to " + strconv.Itoa(maxPoints))
		}
	}
	for name := range strings.SplitSeq(values.Get("signals"), ",") {
		if name != "" && !slices.Contains(q.signals, name) {
			q.signals = append(q.signals, name)
		}
	}
	if len(q.signals) > maxSignals {
		return q, errors.New("a chart may have " + strconv.Itoa(maxSignals) + " signals")
	}
	return q, nil
}

func (w *Web) getSeries(rw http.ResponseWriter, r *http.Request) {
	q, err := parseRequest(r, w.config.Now())
	if err != nil {
		w.refuse(rw, http.StatusBadRequest, err.Error())
		return
	}
	s, found, err := w.series(r.Context(), q)
	switch {
	case err != nil:
		w.refuse(rw, http.StatusServiceUnavailable, "the history cannot be read now: "+err.Error())
	case !found:
		w.refuse(rw, http.StatusNotFound, "this unit is not known")
	case r.URL.Query().Get("format") == "csv":
		w.writeCSV(rw, &s)
	default:
		w.answer(rw, http.StatusOK, s)
	}
}

// series makes a chart's data: from memory for what lies within its window, else from
// the database, and when that is away from memory what there is, and says so.
func (w *Web) series(ctx context.Context, q request) (s seriesView, found bool, err error) {
	now := w.config.Now()
	u, live := w.sources.Plant.Unit(now, q.group, q.unit)
	empty := seriesView{
		Stamp: w.hub.lastStamp(), Group: q.group, Unit: q.unit, From: millis(q.from), To: millis(q.to),
		Gaps: [][2]int64{}, Bands: []bandView{}, Runs: [][2]int64{},
	}
	s = empty
	recent := live && !q.from.Before(now.Add(-plant.Window-2*time.Second))
	if recent && w.fromMemory(&s, &u, q) {
		s.mark(now, &u, live, nil)
		// What memory lacks the database may have: this process may be younger than the run.
		if len(s.Gaps) == 0 || u.Skewed || w.links.databaseAway() != nil {
			s.Bands = w.bands(ctx, q, now, false)
			return s, true, nil
		}
		s = empty
	}
	found, err = w.fromHistory(ctx, &s, &u, live, q)
	if err == nil && found {
		runs, _ := w.runs(ctx, q.group, q.unit, now) // without them only the run under way is marked
		s.mark(now, &u, live, runs)
		s.Bands = w.bands(ctx, q, now, true)
		return s, true, nil
	}
	if !live {
		return s, false, err
	}
	if !w.fromMemory(&s, &u, q) && err != nil {
		return s, false, err
	}
	if err != nil {
		s.From = max(s.From, millis(now.Add(-plant.Window)))
		s.Source, s.Reason = Memory, "history of the last "+strconv.Itoa(int(plant.Window.Minutes()))+" min only: "+err.Error()
	}
	s.mark(now, &u, live, nil)
	s.Bands = w.bands(ctx, q, now, false)
	return s, true, nil
}

// fromMemory fills a chart from the live picture; false when the unit has no trend.
func (w *Web) fromMemory(s *seriesView, u *plant.Unit, q request) bool {
	p := w.display.of(u.Profile)
	s.Profile, s.Sim = p, u.Simulated()
	step := max(time.Second, (q.to.Sub(q.from) / time.Duration(q.points)).Truncate(time.Second))
	t, ok := w.sources.Plant.Trend(q.group, q.unit, q.indexes(p), q.from, q.to, step)
	if !ok || len(t.Times) == 0 {
		return false
	}
	s.StepMS = t.Step.Milliseconds()
	for _, at := range t.Times {
		s.Times = append(s.Times, millis(at))
	}
	for _, line := range t.Signals {
		v := lineView{Name: p.Signals[line.Signal].Name}
		same := slices.EqualFunc(line.Low, line.High, func(a, b float32) bool { return a == b || a != a && b != b })
		for i := range line.Last {
			v.Avg = append(v.Avg, rounded(line.Last[i]))
			if !same {
				v.Low, v.High = append(v.Low, rounded(line.Low[i])), append(v.High, rounded(line.High[i]))
			}
		}
		s.Signals = append(s.Signals, v)
	}
	return true
}

// rounded makes a number of a float32 without the digits that it never had.
func rounded(f float32) number {
	d, err := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	if err != nil {
		return number(math.NaN())
	}
	return number(d)
}

// indexes returns the signals that are asked for.
func (q *request) indexes(p *Profile) []int {
	if len(q.signals) == 0 {
		return p.Fleet
	}
	var out []int
	for i := range p.Signals {
		if slices.Contains(q.signals, p.Signals[i].Name) {
			out = append(out, i)
		}
	}
	return out
}
