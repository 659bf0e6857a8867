package web

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	"andon.internal/collector/plant"
	"andon.internal/shared/alarm"
	"andon.internal/shared/telemetry"
)

// This file has what the JSON of the API looks like. Times are ms since 1970 where
// there are many of them, and RFC 3339 elsewhere.

// number is a value in JSON: NaN and infinities, which JSON cannot say, are null.
type number float64

// MarshalJSON implements [json.Marshaler].
func (n number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, f, 'g', -1, 64), nil
}

// short is a number that is only drawn: five digits are enough.
type short float32

// MarshalJSON implements [json.Marshaler].
func (n short) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, f, 'g', 5, 32), nil
}

// live is a value that is replaced within a second: seven digits are enough.
type live float64

// MarshalJSON implements [json.Marshaler].
func (n live) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, f, 'g', 7, 64), nil
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Sparklines: their steps end with the newest; a step without a reading is null.
const (
	sparkStep  = 20 * time.Second
	sparkSteps = int(plant.Window / sparkStep)
)

// unitView is a unit, whole.
type unitView struct {
	Key     uint32    `json:"k"`
	Group   string    `json:"group"`
	Unit    string    `json:"unit"`
	Node    string    `json:"node"`
	Profile string    `json:"profile"` // key of profiles
	Born    int64     `json:"born"`
	Died    int64     `json:"died,omitempty"`
	State   string    `json:"state"`
	Since   int64     `json:"since"`
	Time    int64     `json:"t"`     // of the newest reading
	Plotted int64     `json:"at"`    // where it stands in the trend
	Heard   int64     `json:"heard"` // when it arrived
	Quality int       `json:"q"`
	Skewed  bool      `json:"skewed,omitempty"`
	Values  []number  `json:"v"`
	Spark   [][]short `json:"spark,omitempty"`
	SparkAt int64     `json:"spark_at,omitempty"` // beginning of the newest step of spark
}

// view makes a unit's view with the given signals.
func (w *Web) view(u *plant.Unit, signals []int) unitView {
	return unitView{
		Key: u.Key, Group: u.Group, Unit: u.ID, Node: u.Node, Profile: w.display.of(u.Profile).ID,
		Born: millis(u.Born), Died: millis(u.Died), State: string(u.State), Since: millis(u.Since),
		Time: millis(u.Time), Plotted: millis(u.Plotted), Heard: millis(u.Heard),
		Quality: int(u.Quality), Skewed: u.Skewed, Values: numbers(u, signals),
	}
}

func numbers(u *plant.Unit, signals []int) []number {
	out := make([]number, len(signals))
	for i, s := range signals {
		f, ok := u.Values[s].Float()
		if !ok {
			f = math.NaN()
		}
		out[i] = number(f)
	}
	return out
}

// spark adds the sparklines of the last minutes.
func (w *Web) spark(v *unitView, signals []int, now time.Time) {
	to := now.Truncate(sparkStep)
	t, ok := w.sources.Plant.Trend(v.Group, v.Unit, signals, to.Add(-plant.Window+sparkStep), now, sparkStep)
	if !ok || len(t.Times) == 0 {
		return
	}
	v.SparkAt = to.UnixMilli()
	for i := range t.Signals {
		line := make([]short, sparkSteps)
		for n := range line {
			line[n] = short(math.NaN())
		}
		for n, at := range t.Times {
			if k := sparkSteps - 1 - int(to.Sub(at)/sparkStep); k >= 0 && k < sparkSteps {
				line[k] = short(t.Signals[i].Last[n])
			}
		}
		v.Spark = append(v.Spark, line)
	}
}

// cellView is a cell.
type cellView struct {
	Group    string `json:"group"`
	Node     string `json:"node"`
	Link     string `json:"link"`
	Since    int64  `json:"since"`
	Heard    int64  `json:"heard"`
	Version  string `json:"version,omitempty"`
	Units    int    `json:"units"`
	Rows     uint64 `json:"rows"`
	OldestMS int64  `json:"oldest_ms"`
	Lost     uint64 `json:"lost"`
	DiskFree uint64 `json:"disk_free"`
	Clock    string `json:"clock"`
	Stops    uint32 `json:"stops"`
	Beaten   int64  `json:"beaten"` // 0: it has said nothing of itself yet
	LagMS    int64  `json:"lag_ms"`
	CatchUp  int64  `json:"catch_up_ms,omitempty"` // until its backlog is home; 0: there is none, or not known; -1: it does not shrink
	Reckoned bool   `json:"reckoned,omitempty"`    // rows, oldest and lag are worked out: the cell says nothing
}

func cellViews(cells []plant.Cell) []cellView {
	out := make([]cellView, 0, len(cells))
	for _, c := range cells {
		out = append(out, cellView{
			Group: c.Node.Group, Node: c.Node.ID, Link: string(c.Link), Since: millis(c.Since), Heard: millis(c.Heard),
			Version: c.Version, Units: c.Units, Rows: c.Buffer.Rows, OldestMS: c.Buffer.Oldest.Milliseconds(),
			Lost: c.Buffer.Lost, DiskFree: c.Buffer.DiskFree, Clock: c.Buffer.Clock.String(), Stops: c.Buffer.Stops,
			Beaten: millis(c.Beaten), LagMS: c.Lag.Milliseconds(), Reckoned: c.Reckoned, CatchUp: catchUp(c.CatchUp),
		})
	}
	slices.SortFunc(out, func(a, b cellView) int {
		return cmp.Or(cmp.Compare(linkOrder[a.Link], linkOrder[b.Link]), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Node, b.Node))
	})
	return out
}

func catchUp(d time.Duration) int64 {
	if d == plant.Never {
		return -1
	}
	return d.Milliseconds()
}

// linkOrder puts the worst first.
var linkOrder = map[string]int{string(plant.Offline): 0, string(plant.Silent): 1, string(plant.Online): 2}

// alarmView is an alarm and the state that follows from its axes.
type alarmView struct {
	alarm.Alarm
	State alarm.State `json:"state"`
}

// alarmViews puts open alarms in the order of their urgency: unacknowledged first,
// then by priority, then the newest. Closed ones follow.
func alarmViews(alarms []alarm.Alarm) []alarmView {
	out := make([]alarmView, 0, len(alarms))
	for i := range alarms {
		a := alarmView{alarms[i], alarms[i].State()}
		a.Figures = slices.Clone(a.Figures) // the picture's own
		for n := range a.Figures {
			a.Figures[n].Unit = unitText(a.Figures[n].Unit)
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b alarmView) int {
		return cmp.Or(
			cmp.Compare(alarmOrder[a.State], alarmOrder[b.State]),
			cmp.Compare(b.Priority, a.Priority), b.ActiveAt.Compare(a.ActiveAt), cmp.Compare(a.ID, b.ID))
	})
	return out
}

var alarmOrder = map[alarm.State]int{
	alarm.Unacknowledged: 0, alarm.ReturnedUnacknowledged: 1, alarm.Acknowledged: 2, alarm.Closed: 3,
}

// fleetView is everything.
type fleetView struct {
	Stamp
	Version  uint64              `json:"v"`
	Readings uint64              `json:"readings"`
	Site     string              `json:"site,omitempty"`
	App      string              `json:"app"` // address of the page's code: a page that runs another is old
	Profiles map[string]*Profile `json:"profiles"`
	Units    []unitView          `json:"units"`
	Cells    []cellView          `json:"cells"`
	Alarms   []alarmView         `json:"alarms"`
}

// snapshot makes the view of everything.
func (w *Web) snapshot() fleetView {
	now := w.config.Now()
	pic := w.sources.Plant.Snapshot(now)
	f := fleetView{
		Stamp: w.links.stamp(&pic), Version: pic.Version, Readings: pic.Readings, Site: w.config.Site, App: w.assets.URL("app.js"),
		Profiles: map[string]*Profile{}, Cells: cellViews(pic.Cells), Alarms: alarmViews(pic.Alarms),
	}
	f.Units = make([]unitView, 0, len(pic.Units))
	for i := range pic.Units {
		f.Units = append(f.Units, w.whole(&pic.Units[i], f.Profiles, now))
	}
	slices.SortFunc(f.Units, func(a, b unitView) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Unit, b.Unit))
	})
	return f
}

// whole makes the view of a unit on the fleet page and notes its profile.
func (w *Web) whole(u *plant.Unit, profiles map[string]*Profile, now time.Time) unitView {
	p := w.display.of(u.Profile)
	profiles[p.ID] = p
	v := w.view(u, p.Fleet)
	w.spark(&v, p.Fleet, now)
	return v
}

func simulated(quality int) bool { return telemetry.Quality(quality)&telemetry.QualitySimulated != 0 }
