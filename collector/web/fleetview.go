package web

import (
	"cmp"
	"slices"
	"time"

	"andon.internal/collector/plant"
	"andon.internal/shared/alarm"
	"andon.internal/shared/sentinel"
)

// tally counts alarms for the header.
type tally struct {
	Critical, High, Medium, Low int
	Unacknowledged              int
	Open, Closed                int
	Recent                      int // raised in the last ten minutes
	Flood                       bool
}

// flood is how many alarms in ten minutes are more than an operator can take in
// (EEMUA 191).
const flood = 10

func tallyOf(alarms []alarmView, now time.Time) (t tally) {
	for i := range alarms {
		a := &alarms[i]
		if now.Sub(a.ActiveAt) <= 10*time.Minute {
			t.Recent++
		}
		if a.State == alarm.Closed {
			t.Closed++
			continue
		}
		t.Open++
		if a.State != alarm.Acknowledged {
			t.Unacknowledged++
		}
		switch a.Priority {
		case sentinel.Critical:
			t.Critical++
		case sentinel.High:
			t.High++
		case sentinel.Medium:
			t.Medium++
		default:
			t.Low++
		}
	}
	t.Flood = t.Recent > flood
	return t
}

// fleetPage is the page of everything.
type fleetPage struct {
	page
	View   string
	Lines  []line
	Counts counts
	Cells  []cellView
	Worst  *unitRow
}

type counts struct{ Running, Idle, Stopped, Stale, Total int }

func (c *counts) add(state string) {
	c.Total++
	switch plant.State(state) {
	case plant.Running:
		c.Running++
	case plant.Idle:
		c.Idle++
	case plant.Stopped:
		c.Stopped++
	default:
		c.Stale++
	}
}

// line is the units of one kind of one group.
type line struct {
	Group, Profile string
	Counts         counts
	Signals        []Signal
	Rows, Tiles    []unitRow
	key            string
}

// A line with more units than rowsAll shows rowsSome of them as rows (on a wall none),
// and the rest as tiles.
const (
	rowsAll  = 16
	rowsSome = 8
)

// linesOf sorts the units by line, the worst first.
func linesOf(f *fleetView, view string, wall bool) (lines []line, all counts, worst *unitRow) {
	alarms := worstAlarms(f.Alarms)
	type key struct{ group, line string }
	index := map[key]int{}
	for i := range f.Units {
		u := &f.Units[i]
		p := f.Profiles[u.Profile]
		k := key{u.Group, p.Line}
		at, seen := index[k]
		if !seen {
			at = len(lines)
			index[k] = at
			l := line{Group: u.Group, Profile: p.Name, key: p.Line}
			for _, s := range p.Fleet {
				l.Signals = append(l.Signals, p.Signals[s])
			}
			lines = append(lines, l)
		}
		lines[at].Counts.add(u.State)
		all.add(u.State)
		lines[at].Rows = append(lines[at].Rows, rowOf(u, p, p.Fleet, alarms[[2]string{u.Group, u.Unit}]))
	}
	slices.SortFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.key, b.key))
	})
	for i := range lines {
		l := &lines[i]
		slices.SortFunc(l.Rows, compareRows)
		if first := &l.Rows[0]; first.rank > rankStale && (worst == nil || first.rank > worst.rank) {
			worst = first
		}
		keep := len(l.Rows)
		switch {
		case view == "tiles", wall && view != "rows" && len(l.Rows) > rowsAll:
			keep = 0
		case view != "rows" && len(l.Rows) > rowsAll:
			keep = rowsSome
		}
		l.Rows, l.Tiles = l.Rows[:keep], l.Rows[keep:]
	}
	return lines, all, worst
}
