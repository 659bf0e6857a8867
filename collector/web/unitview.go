package web

import (
	"net/http"
	"slices"
	"strings"
)

// unitPageView is the page of one unit.
type unitPageView struct {
	page
	Group, Unit     string
	Row             *unitRow // nil: only history
	Profile         string
	Born, Died      int64
	PeriodMS        int64
	Runs            []runView
	RunsFrom        string
	Ranges          []rangeLink
	Range, From, To string
	Signals         string // as the URL names them
	Table           *seriesTable
	TableError      string
}

type rangeLink struct{ Value, Text string }

var ranges = []rangeLink{{"15m", "15 min"}, {"1h", "1 h"}, {"8h", "8 h"}, {"24h", "24 h"}, {"7d", "7 d"}}

func (v *unitPageView) row(u *unitView, p *Profile, alarms []alarmView) {
	all := allSignals(len(p.Signals))
	r := rowOf(u, p, all, worstAlarms(alarms)[[2]string{u.Group, u.Unit}])
	v.Row, v.Profile, v.Born, v.Died = &r, p.Name, u.Born, u.Died
	if r.Sim && !strings.HasPrefix(v.Title, "SIM ") {
		v.Title = "SIM " + v.Title
	}
}

// seriesTable is a chart as a table.
type seriesTable struct {
	Stamp
	Sim     bool
	Signals []Signal
	Rows    []seriesRow
	CSV     string
	Step    int64
}

type seriesRow struct {
	Time   int64
	Values []string
	Gap    bool // no readings before this row
}

// tablePoints is about how many rows the table has.
const tablePoints = 30

// table reads the series that the page's query asks for.
func (v *unitPageView) table(w *Web, r *http.Request) {
	q, err := parseRequest(r, w.config.Now())
	if err != nil {
		v.TableError = err.Error()
		return
	}
	v.Signals = strings.Join(q.signals, ",")
	q.points = tablePoints
	s, found, err := w.series(r.Context(), q)
	switch {
	case err != nil:
		v.TableError = err.Error()
		return
	case !found || s.Profile == nil:
		v.TableError = "no readings are known"
		return
	}
	t := &seriesTable{Stamp: s.Stamp, Sim: s.Sim, Step: s.StepMS}
	values := r.URL.Query()
	values.Set("format", "csv")
	t.CSV = seriesURL(v.Group, v.Unit, values)
	for _, line := range s.Signals {
		i := slices.IndexFunc(s.Profile.Signals, func(x Signal) bool { return x.Name == line.Name })
		t.Signals = append(t.Signals, s.Profile.Signals[i])
	}
	for i := range s.Times {
		row := seriesRow{Time: s.Times[i]}
		for k := range s.Signals {
			row.Values = append(row.Values, valueText(&t.Signals[k], float64(s.Signals[k].Avg[i])))
		}
		row.Gap = slices.ContainsFunc(s.Gaps, func(g [2]int64) bool { return g[1] == s.Times[i] })
		t.Rows = append(t.Rows, row)
	}
	slices.Reverse(t.Rows)
	v.Table = t
}
