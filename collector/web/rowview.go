package web

import (
	"cmp"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"andon.internal/collector/plant"
	"andon.internal/shared/alarm"
)

// unitRow is a unit as a page shows it.
type unitRow struct {
	Group, Unit, Node, URL string
	State                  string
	Since, Heard           int64
	Sim, Skewed            bool
	Alarm                  *alarmView // its worst open one
	Values                 []valueCell
	rank                   int
}

// Telling is the value that says most: the first beyond a limit, else the first.
func (r *unitRow) Telling() *valueCell {
	if i := slices.IndexFunc(r.Values, func(c valueCell) bool { return c.Class == "limit" }); i >= 0 {
		return &r.Values[i]
	}
	if len(r.Values) == 0 {
		return nil
	}
	return &r.Values[0]
}

// valueCell is a value with its bar and sparkline.
type valueCell struct {
	Signal
	Text  string
	Class string // "", limit, or implausible
	Bar   *bar
	Spark string // points of a polyline, in a box of 100 by 20
}

// bar places a value on its scale; parts are of its length, from 0 to 1.
type bar struct {
	At, Zero         float64
	HasZero, HasMark bool
	Zones            []zone // beyond the limits
}

type zone struct{ From, Width float64 }

// Ranks, worst last: an open alarm's is above rankStale and grows with its priority.
const (
	rankStopped = iota
	rankIdle
	rankRunning
	rankNoticed // an alarm that returned and nobody acknowledged, or a value beyond a limit
	rankStale
)

func rankOf(state string, a *alarmView) int {
	if a != nil && a.Condition == alarm.Active {
		rank := rankStale + 2*int(a.Priority)
		if a.State == alarm.Unacknowledged {
			rank++
		}
		return rank
	}
	switch plant.State(state) {
	case plant.Stale:
		return rankStale
	case plant.Stopped:
		return rankStopped
	}
	switch {
	case a != nil:
		return rankNoticed
	case plant.State(state) == plant.Idle:
		return rankIdle
	}
	return rankRunning
}

func compareRows(a, b unitRow) int {
	return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(a.Unit, b.Unit))
}

// worstAlarms picks the worst open alarm of each unit.
func worstAlarms(alarms []alarmView) map[[2]string]*alarmView {
	out := map[[2]string]*alarmView{}
	for i := range alarms {
		a := &alarms[i]
		if a.State == alarm.Closed || a.Unit == "" {
			continue
		}
		k := [2]string{a.Group, a.Unit}
		if have := out[k]; have == nil || rankOf("", a) > rankOf("", have) {
			out[k] = a
		}
	}
	return out
}

func rowOf(u *unitView, p *Profile, signals []int, a *alarmView) unitRow {
	r := unitRow{
		Group: u.Group, Unit: u.Unit, Node: u.Node, State: u.State, Since: u.Since, Heard: u.Heard,
		URL: "/unit/" + url.PathEscape(u.Group) + "/" + url.PathEscape(u.Unit),
		Sim: simulated(u.Quality), Skewed: u.Skewed, Alarm: a, rank: rankOf(u.State, a),
	}
	for i, s := range signals {
		c := cellOf(&p.Signals[s], float64(u.Values[i]))
		if i < len(u.Spark) {
			c.Spark = sparkPoints(&c.Signal, u.Spark[i])
		}
		if c.Class == "limit" && r.State != string(plant.Stopped) {
			r.rank = max(r.rank, rankNoticed)
		}
		r.Values = append(r.Values, c)
	}
	return r
}

func cellOf(s *Signal, v float64) valueCell {
	c := valueCell{Signal: *s, Text: valueText(s, v)}
	switch {
	case (s.Max != nil && v > *s.Max) || (s.Min != nil && v < *s.Min):
		c.Class = "limit"
	case (s.PlausibleHi != nil && v > *s.PlausibleHi) || (s.PlausibleLo != nil && v < *s.PlausibleLo):
		c.Class = "implausible"
	}
	if s.Low == nil || s.Boolean {
		return c
	}
	part := func(x float64) float64 { return min(max((x-*s.Low)/(*s.High-*s.Low), 0), 1) }
	c.Bar = &bar{HasMark: !math.IsNaN(v), HasZero: *s.Low < 0 && *s.High > 0}
	if c.Bar.HasMark {
		c.Bar.At = part(v)
	}
	if c.Bar.HasZero {
		c.Bar.Zero = part(0)
	}
	if s.Min != nil {
		c.Bar.Zones = append(c.Bar.Zones, zone{0, part(*s.Min)})
	}
	if s.Max != nil {
		c.Bar.Zones = append(c.Bar.Zones, zone{part(*s.Max), 1 - part(*s.Max)})
	}
	return c
}

// sparkPoints draws a sparkline. Its height is the values' own span, but at least a
// tenth of the bar's, so that noise does not look like an event.
func sparkPoints(s *Signal, line []short) string {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range line {
		if f := float64(v); f == f {
			low, high = min(low, f), max(high, f)
		}
	}
	if low > high {
		return ""
	}
	least := (high - low)
	if s.Low != nil {
		least = max(least, (*s.High-*s.Low)/10)
	}
	if least == 0 {
		least = 1
	}
	bottom := (low+high)/2 - least/2
	var b strings.Builder
	for i, v := range line {
		f := float64(v)
		if f != f {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.FormatFloat(100*float64(i)/float64(len(line)-1), 'f', 1, 64))
		b.WriteByte(',')
		b.WriteString(strconv.FormatFloat(19-18*(f-bottom)/least, 'f', 1, 64))
	}
	return b.String()
}
