package web

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"andon.internal/shared/alarm"
	"andon.internal/shared/telemetry"
)

func (w *Web) getFleet(rw http.ResponseWriter, _ *http.Request) {
	w.answer(rw, http.StatusOK, w.snapshot())
}

func (w *Web) getCells(rw http.ResponseWriter, _ *http.Request) {
	pic := w.sources.Plant.Snapshot(w.config.Now())
	w.answer(rw, http.StatusOK, struct {
		Stamp
		Cells []cellView `json:"cells"`
	}{w.links.stamp(&pic), cellViews(pic.Cells)})
}

func (w *Web) getAlarms(rw http.ResponseWriter, _ *http.Request) {
	pic := w.sources.Plant.Snapshot(w.config.Now())
	w.answer(rw, http.StatusOK, struct {
		Stamp
		Alarms []alarmView `json:"alarms"`
	}{w.links.stamp(&pic), alarmViews(pic.Alarms)})
}

// runView is a run.
type runView struct {
	Node     string `json:"node"`
	Profile  string `json:"profile"`
	Born     int64  `json:"born"`
	Died     int64  `json:"died,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Newest   int64  `json:"newest,omitempty"`
	Stored   int64  `json:"stored"`
	Expected int64  `json:"expected"`
	Late     int64  `json:"late"`
}

// Missing is how many readings were taken and are not stored (yet).
func (r runView) Missing() int64 { return max(r.Expected-r.Stored, 0) }

// unitPage is everything about one unit.
type unitPage struct {
	Stamp
	Unit     *unitView           `json:"unit,omitempty"` // absent: not on test, only history
	Profiles map[string]*Profile `json:"profiles"`
	Alarms   []alarmView         `json:"alarms"`
	Runs     []runView           `json:"runs"`
	RunsFrom string              `json:"runs_from"` // live: from the database; memory: only the run under way

	all []alarmView // of the plant
}

// shownRuns and runsBack bound what the page of a unit lists.
const (
	shownRuns = 20
	runsBack  = 10 * 365 * 24 * time.Hour
)

func (w *Web) getUnit(rw http.ResponseWriter, r *http.Request) {
	group, unit := r.PathValue("group"), r.PathValue("unit")
	page, found := w.unitPage(r.Context(), group, unit)
	if !found {
		w.refuse(rw, http.StatusNotFound, "this unit is not known")
		return
	}
	w.answer(rw, http.StatusOK, page)
}

// unitPage collects what is known of a unit; found is false when nothing is.
func (w *Web) unitPage(ctx context.Context, group, unit string) (page unitPage, found bool) {
	if telemetry.CheckID("group", group) != nil || telemetry.CheckID("unit", unit) != nil {
		return unitPage{}, false
	}
	now := w.config.Now()
	pic := w.sources.Plant.Snapshot(now)
	page = unitPage{Stamp: w.links.stamp(&pic), Profiles: map[string]*Profile{}, RunsFrom: Live}
	page.all = alarmViews(pic.Alarms)
	page.Alarms = alarmViews(slices.DeleteFunc(pic.Alarms, func(a alarm.Alarm) bool {
		return a.Group != group || a.Unit != unit
	}))
	u, live := w.sources.Plant.Unit(now, group, unit)
	if live {
		p := w.display.of(u.Profile)
		page.Profiles[p.ID] = p
		all := allSignals(len(u.Values))
		v := w.view(&u, all)
		w.spark(&v, all, now)
		page.Unit = &v
	}
	runs, err := w.runs(ctx, group, unit, now)
	if err != nil {
		page.RunsFrom, runs = Memory, nil
		if live {
			runs = []Run{{Node: u.Node, Profile: u.Profile.Name, Born: u.Born, Died: u.Died, Newest: u.Time}}
		}
	}
	for _, r := range runs {
		page.Runs = append(page.Runs, runView{
			r.Node, r.Profile, millis(r.Born), millis(r.Died), r.Reason, millis(r.Newest), r.Stored, r.Expected, r.Late,
		})
	}
	return page, live || len(runs) > 0
}

// runs asks the history for the latest runs, within the time limit. When the
// database is known to be away it does not wait for it.
func (w *Web) runs(ctx context.Context, group, unit string, now time.Time) ([]Run, error) {
	if err := w.links.databaseAway(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, w.config.Timeout)
	defer cancel()
	runs, err := w.sources.History.Runs(ctx, group, unit, now.Add(-runsBack), now.Add(24*time.Hour), shownRuns)
	if err != nil {
		return nil, w.failed(ctx, "runs", err)
	}
	return runs, nil
}

// failedEvery is how often at most it is logged that a question was not answered.
const failedEvery = time.Minute

// failed counts and logs a question to the database that was not answered, and returns
// what is shown of it.
func (w *Web) failed(ctx context.Context, question string, err error) error {
	w.config.Metrics.failures.WithLabelValues(question).Inc()
	if ctx.Err() == nil || context.Cause(ctx) == context.DeadlineExceeded {
		level, now := slog.LevelWarn, w.config.Now()
		if last, ok := w.failures.Load(question); ok && now.Sub(last.(time.Time)) < failedEvery {
			level = slog.LevelDebug
		} else {
			w.failures.Store(question, now)
		}
		w.log.Log(ctx, level, "the database did not answer", "question", question, "error", err)
	}
	return errUnanswered
}
