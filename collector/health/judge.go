package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// What is still good.
const (
	// maxWait is how long a reading may wait at a cell for its acknowledgement.
	maxWait = time.Minute
	// minDaysAhead are the days for which partitions must be ready. A collector makes
	// 7 every hour, so with fewer it has not done so for a day or two.
	minDaysAhead = 5
	// maxNamed is how many culprits a reason names.
	maxNamed = 5
)

// IntakeLease is the lease of the role without which nothing is stored.
const IntakeLease = "intake"

// view is everything that a look has seen.
type view struct {
	sources     Sources
	now         time.Time
	facts       Facts
	databaseErr error
	brokerErr   error
	heard       map[telemetry.Node]sign
	host        *sparkplug.State
}

// expected are the cells that should be heard.
func (v *view) expected() []telemetry.Node {
	var list []telemetry.Node
	for _, n := range v.facts.Nodes {
		id := telemetry.Node{Group: n.Group, ID: n.Node}
		if !slices.Contains(v.sources.Retired, id.String()) {
			list = append(list, id)
		}
	}
	return list
}

// judge answers every question, in the order in which a reader should ask them.
func (v *view) judge() Report {
	var r Report
	if v.databaseErr != nil {
		r.add("database", Down, "%v", v.databaseErr)
	} else {
		r.add("database", Healthy, "answers, and has the tables and profiles that are wanted")
	}
	if v.brokerErr != nil {
		r.add("broker", Down, "%v", v.brokerErr)
	} else {
		r.add("broker", Healthy, "answers")
	}
	v.judgeLeases(&r)
	v.judgeHost(&r)
	v.judgeCells(&r)
	if v.databaseErr != nil {
		for _, name := range []string{"ledger", "losses", "quarantine", "partitions"} {
			r.add(name, Unknown, "the database says nothing")
		}
		return r
	}
	v.judgeLedger(&r)
	v.judgeTrouble(&r, "losses", "lost", v.facts.Lost)
	v.judgeTrouble(&r, "quarantine", "set aside", v.facts.Quarantined)
	v.judgePartitions(&r)
	return r
}

func (v *view) judgeLeases(r *Report) {
	if v.databaseErr != nil {
		r.add(IntakeLease, Unknown, "the database says nothing")
		return
	}
	for _, name := range append([]string{IntakeLease}, v.sources.Leases...) {
		switch {
		case slices.ContainsFunc(v.facts.Leases, func(l Lease) bool { return l.Name == name }):
		case name == IntakeLease:
			r.add(name, Down, "no collector has ever stored readings here; start: andon-collector run")
		default:
			r.add(name, Degraded, "nobody has ever done it; start: andon-collector run --roles %s", name)
		}
	}
	for _, l := range v.facts.Leases {
		switch {
		case l.Left > 0:
			r.add(l.Name, Healthy, "is done by %s", l.Holder)
		case l.Name == IntakeLease:
			r.add(l.Name, Down, "no collector stores readings: %s gave up or lost the lease %v ago; cells keep theirs",
				l.Holder, span(-l.Left))
		default:
			r.add(l.Name, Degraded, "nobody does it: %s gave up or lost the lease %v ago", l.Holder, span(-l.Left))
		}
	}
}

func (v *view) judgeHost(r *Report) {
	switch {
	case v.host != nil && v.host.Online:
		r.add("host", Healthy, "%s is online", v.sources.HostID)
	case v.brokerErr != nil:
		r.add("host", Unknown, "the broker says nothing")
	case v.host != nil:
		r.add("host", Degraded, "%s is offline since %s: cells that wait for it announce nothing",
			v.sources.HostID, clock(time.UnixMilli(v.host.Timestamp)))
	default:
		r.add("host", Degraded, "%s has not said on this broker that it is online", v.sources.HostID)
	}
}

// judgeCells makes the list of the cells, and one answer about all of them.
func (v *view) judgeCells(r *Report) {
	known := map[telemetry.Node]bool{}
	for _, n := range v.facts.Nodes {
		id := telemetry.Node{Group: n.Group, ID: n.Node}
		known[id] = true
		r.Cells = append(r.Cells, v.judgeCell(id, n))
	}
	for id := range v.heard {
		if !known[id] {
			r.Cells = append(r.Cells, v.judgeCell(id, Node{}))
		}
	}
	slices.SortFunc(r.Cells, func(a, b Cell) int { return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Node, b.Node)) })
	var bad []string
	for _, c := range r.Cells {
		if c.State == Degraded {
			bad = append(bad, fmt.Sprintf("%s/%s %s", c.Group, c.Node, c.Reason))
		}
	}
	switch {
	case len(bad) > 0:
		r.add("cells", Degraded, "%d of %d: %s", len(bad), len(r.Cells), some(bad))
	case v.brokerErr != nil:
		r.add("cells", Unknown, "the broker says nothing")
	case len(r.Cells) == 0:
		r.add("cells", Healthy, "none has announced itself yet")
	default:
		r.add("cells", Healthy, "all %d", len(r.Cells))
	}
}

func (v *view) judgeCell(id telemetry.Node, n Node) Cell {
	c := Cell{Group: id.Group, Node: id.ID, State: Healthy, Outstanding: n.Outstanding, Newest: n.Newest}
	s, heard := v.heard[id]
	c.Heard = heard && !s.dead
	var why []string
	switch {
	case c.Heard && s.heartbeat != nil:
		h := s.heartbeat
		wait := time.Duration(min(h.OldestMS, 1<<40)) * time.Millisecond
		seconds := wait.Seconds()
		c.Buffered, c.Oldest = &h.Rows, &seconds
		if wait > maxWait {
			why = append(why, fmt.Sprintf("holds %d readings back, the oldest for %v", h.Rows, span(wait)))
		}
		if h.DiskFault != "" {
			why = append(why, "has a fault of its disk: "+h.DiskFault)
		}
		if h.Clock != telemetry.TimeOK && h.Clock != telemetry.TimeSource {
			why = append(why, "has a clock that is "+h.Clock.String())
		}
	case c.Heard:
	case slices.Contains(v.sources.Retired, id.String()):
	case v.brokerErr != nil:
		c.State = Unknown
	case heard:
		why = append(why, "has just gone")
	default:
		why = append(why, "is silent")
	}
	if !n.Doubted.IsZero() && v.now.Sub(n.Doubted) < v.sources.Window {
		why = append(why, "seems to be two boxes of one name, or a box that was set back, at "+clock(n.Doubted))
	}
	if len(why) > 0 {
		c.State, c.Reason = Degraded, strings.Join(why, "; ")
	}
	return c
}

func (v *view) judgeLedger(r *Report) {
	var bad []string
	outstanding := int64(0)
	for _, n := range v.facts.Nodes {
		outstanding += n.Outstanding
		if n.Unaccounted > 0 {
			bad = append(bad, fmt.Sprintf("%s/%s %d positions", n.Group, n.Node, n.Unaccounted))
		}
	}
	if len(bad) > 0 {
		r.add("ledger", Degraded, "neither stored nor told lost, though nothing more comes: %s; see: andon-collector audit", some(bad))
		return
	}
	r.add("ledger", Healthy, "every position is accounted for; %d are on the way or at a cell", outstanding)
}

func (v *view) judgeTrouble(r *Report, name, what string, list []Trouble) {
	var bad []string
	for _, t := range list {
		bad = append(bad, fmt.Sprintf("%s/%s %d (%s)", t.Group, t.Node, t.Count, t.Reason))
	}
	if len(bad) > 0 {
		r.add(name, Degraded, "%s in the last %v: %s; see: andon-collector audit", what, span(v.sources.Window), some(bad))
		return
	}
	r.add(name, Healthy, "none in the last %v", span(v.sources.Window))
}

func (v *view) judgePartitions(r *Report) {
	var bad []string
	fewest := -1
	for _, d := range v.facts.Ahead {
		if fewest < 0 || d.Days < fewest {
			fewest = d.Days
		}
		switch {
		case d.Days < 0:
			bad = append(bad, d.Profile+" has none for today")
		case d.Days < minDaysAhead:
			bad = append(bad, fmt.Sprintf("%s has %d days", d.Profile, d.Days))
		}
	}
	switch {
	case len(bad) > 0:
		r.add("partitions", Degraded, "should be ready 7 days ahead, and %s: the collector's upkeep does not run", some(bad))
	case fewest < 0:
		r.add("partitions", Degraded, "no profile is installed; run: andon-collector migrate")
	default:
		r.add("partitions", Healthy, "ready %d days ahead", fewest)
	}
}

// some joins the first of a list and counts the rest.
func some(list []string) string {
	text := strings.Join(list[:min(len(list), maxNamed)], ", ")
	if n := len(list) - maxNamed; n > 0 {
		text += fmt.Sprintf(", and %d more", n)
	}
	return text
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// span writes a duration as coarsely as people speak of it.
func span(d time.Duration) string {
	unit := time.Millisecond
	switch {
	case d >= time.Minute:
		unit = time.Second
	case d >= time.Second:
		unit = 100 * time.Millisecond
	}
	text := d.Round(unit).String()
	if rest, ok := strings.CutSuffix(text, "m0s"); ok {
		text = rest + "m"
	}
	if rest, ok := strings.CutSuffix(text, "h0m"); ok {
		text = rest + "h"
	}
	return text
}
