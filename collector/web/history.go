package web

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"andon.internal/collector/plant"
	"andon.internal/shared/alarm"
	"andon.internal/shared/telemetry"
)

// fromHistory fills a chart from the database, within the time limit.
func (w *Web) fromHistory(ctx context.Context, s *seriesView, u *plant.Unit, live bool, q request) (found bool, err error) {
	if err := w.links.databaseAway(); err != nil {
		return false, err
	}
	names := q.signals
	if len(names) == 0 {
		if names, err = w.fleetNames(ctx, u, live, q); err != nil || len(names) == 0 {
			return false, err
		}
	}
	limited, cancel := context.WithTimeout(ctx, w.config.Timeout)
	defer cancel()
	h, found, err := w.sources.History.Series(limited, SeriesQuery{
		Group: q.group, Unit: q.unit, Signals: names, From: q.from, To: q.to, Points: q.points,
	})
	if err != nil {
		return false, w.failed(limited, "series", err)
	}
	if !found {
		return false, nil
	}
	s.Profile, s.StepMS = w.display.of(h.Profile), h.Step.Milliseconds()
	if live {
		s.Profile = s.Profile.with(w.display.of(u.Profile))
	}
	for i, t := range h.Times {
		s.Times = append(s.Times, millis(t))
		s.Sim = s.Sim || h.Qualities[i]&telemetry.QualitySimulated != 0
	}
	for _, line := range h.Signals {
		v := lineView{Name: h.Profile.Signals[line.Signal].Name, Avg: asNumbers(line.Avg)}
		if h.Step > 0 {
			v.Low, v.High = asNumbers(line.Low), asNumbers(line.High)
		}
		s.Signals = append(s.Signals, v)
	}
	return true, nil
}

// fleetNames names the signals of the fleet page of a unit, which may be known to the
// database only.
func (w *Web) fleetNames(ctx context.Context, u *plant.Unit, live bool, q request) ([]string, error) {
	var profile *telemetry.Profile
	if live {
		profile = u.Profile
	} else {
		limited, cancel := context.WithTimeout(ctx, w.config.Timeout)
		defer cancel()
		h, found, err := w.sources.History.Series(limited, SeriesQuery{
			Group: q.group, Unit: q.unit, From: q.from, To: q.from.Add(time.Millisecond), Points: 1,
		})
		if err != nil {
			return nil, w.failed(limited, "series", err)
		}
		if !found {
			return nil, nil
		}
		profile = h.Profile
	}
	p := w.display.of(profile)
	var names []string
	for _, i := range p.Fleet {
		names = append(names, p.Signals[i].Name)
	}
	return names, nil
}

func asNumbers(list []float64) []number {
	out := make([]number, len(list))
	for i, f := range list {
		out[i] = number(f)
	}
	return out
}

// mark notes the runs of a chart, and the gaps in them.
func (s *seriesView) mark(now time.Time, u *plant.Unit, live bool, runs []Run) {
	if live && !slices.ContainsFunc(runs, func(r Run) bool { return r.Born.UnixMicro() == u.Born.UnixMicro() }) {
		runs = append(runs, Run{Born: u.Born, Died: u.Died})
	}
	period := time.Duration(0)
	if live {
		period = u.Period
	}
	limit := max(5*time.Second, 3*period, 2*time.Duration(s.StepMS)*time.Millisecond).Milliseconds()
	s.GapMS = limit
	shift := int64(0)
	if live && u.Skewed {
		shift = millis(u.Plotted) - millis(u.Time) // the chart is on time of arrival, and so are the runs
	}
	for _, r := range runs {
		from, to := max(millis(r.Born)+shift, s.From), min(millis(now), s.To)
		if !r.Died.IsZero() {
			to = min(to, millis(r.Died)+shift)
		}
		if from >= to {
			continue
		}
		s.Runs = append(s.Runs, [2]int64{from, to})
		s.gapsIn(from, to, limit)
	}
	slices.SortFunc(s.Gaps, func(a, b [2]int64) int { return int(a[0] - b[0]) })
}

// gapsIn adds the times longer than limit ms within a run that have no reading.
func (s *seriesView) gapsIn(from, to, limit int64) {
	before := from
	i, _ := slices.BinarySearch(s.Times, from)
	for ; i < len(s.Times) && s.Times[i] <= to; i++ {
		if s.Times[i]-before > limit {
			s.Gaps = append(s.Gaps, [2]int64{before, s.Times[i]})
		}
		before = s.Times[i] + s.StepMS
	}
	if to-before > limit {
		s.Gaps = append(s.Gaps, [2]int64{before, to})
	}
}

// bands returns the alarms of a chart: those in memory, and from the journal those
// that are over for longer.
func (w *Web) bands(ctx context.Context, q request, now time.Time, journal bool) []bandView {
	pic := w.sources.Plant.Snapshot(now)
	list := slices.DeleteFunc(pic.Alarms, func(a alarm.Alarm) bool { return a.Group != q.group || a.Unit != q.unit })
	if journal && w.sources.Journal != nil && w.links.databaseAway() == nil {
		limited, cancel := context.WithTimeout(ctx, w.config.Timeout)
		defer cancel()
		old, err := w.sources.Journal.Alarms(limited, q.group, q.unit, q.from, q.to, maxBands)
		if err != nil {
			_ = w.failed(limited, "alarms", err) // those in memory are shown
		}
		for _, a := range old {
			if !slices.ContainsFunc(list, func(b alarm.Alarm) bool { return a.ID == b.ID }) {
				list = append(list, a)
			}
		}
	}
	out := []bandView{}
	for i := range list {
		a := &list[i]
		b := bandView{millis(a.RaisedAt), millis(now), a.ID, a.Rule, a.Priority.String(), a.State()}
		if a.Condition == alarm.Normal {
			b.To = millis(a.ClearedAt)
		}
		if b.From <= millis(q.to) && b.To >= millis(q.from) && len(out) < maxBands {
			out = append(out, b)
		}
	}
	slices.SortFunc(out, func(a, b bandView) int { return int(a.From - b.From) })
	return out
}

// writeCSV writes a chart as a table. The first lines say what it is, and whether it
// is simulated.
func (w *Web) writeCSV(rw http.ResponseWriter, s *seriesView) {
	name := s.Unit
	if s.Sim {
		name = "SIM-" + name
	}
	rw.Header().Set("Content-Type", "text/csv; charset=utf-8")
	rw.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name+".csv"))
	c := csv.NewWriter(rw)
	kind := "readings"
	if s.StepMS > 0 {
		kind = (time.Duration(s.StepMS) * time.Millisecond).String() + " steps: average (last, from memory), least, greatest"
	}
	lines := [][]string{{"# " + s.Group + " " + s.Unit, kind, "source " + s.Source, s.Reason}}
	if s.Sim {
		lines = append(lines, []string{"# SIMULATED: not plant data"})
	}
	head := []string{"time"}
	for _, l := range s.Signals {
		head = append(head, l.Name)
		if l.Low != nil {
			head = append(head, l.Name+"_min", l.Name+"_max")
		}
	}
	lines = append(lines, head)
	for i, t := range s.Times {
		row := []string{time.UnixMilli(t).In(w.config.Location).Format("2006-01-02T15:04:05.000Z07:00")}
		for _, l := range s.Signals {
			row = append(row, csvNumber(l.Avg[i]))
			if l.Low != nil {
				row = append(row, csvNumber(l.Low[i]), csvNumber(l.High[i]))
			}
		}
		lines = append(lines, row)
	}
	if err := c.WriteAll(lines); err != nil {
		w.log.Debug("an export was cut off", "error", err)
	}
}

func csvNumber(n number) string {
	if f := float64(n); f == f {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return ""
}
