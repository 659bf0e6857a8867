package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"andon.internal/collector/plant"
)

// The sources of what is shown.
const (
	Live      = "live"      // as it comes in
	Memory    = "memory"    // something is away; the last that is known
	Simulated = "simulated" // as it comes in, and all of it from simulators or replays
)

// Stamp says where an answer's data is from. Every answer and every event has one,
// and the badges of a page are drawn from nothing else.
type Stamp struct {
	Source string    `json:"source"`
	AsOf   time.Time `json:"as_of"`            // of the newest that is shown
	Since  time.Time `json:"since,omitzero"`   // of the reason
	Reason string    `json:"reason,omitempty"` // why it is not live
	// Lost says what is lost, one line for each thing that is away.
	Lost []string `json:"lost,omitempty"`
	// AlarmsAsOf is set when nobody tells of all open alarms: those shown are as of then,
	// and that there are none is no all-clear.
	AlarmsAsOf time.Time `json:"alarms_as_of,omitzero"`
	Simulated  int       `json:"simulated"` // how many of the units on test are
	Active     int       `json:"active"`    // units on test
	Now        time.Time `json:"now"`
	Offset     int       `json:"offset"` // of the plant's time, minutes east of UTC
}

const (
	checkEvery   = time.Second
	checkTimeout = 2 * time.Second
)

// What is said of broker and database to everybody who sees a page. The cause names
// users and addresses, and is logged.
const (
	brokerAway   = "the broker is not connected"
	databaseAway = "the database does not answer"
)

// outage is something that is away; the zero outage is not.
type outage struct{ since time.Time }

// set notes an answer, and logs the first of an outage and the first after it.
func (o *outage) set(log *slog.Logger, what string, err error, now time.Time) (changed bool) {
	switch away := !o.since.IsZero(); {
	case err != nil && !away:
		log.Warn("the pages do without", "what", what, "error", err)
		o.since = now
		return true
	case err == nil && away:
		log.Info("the pages have it again", "what", what, "away", now.Sub(o.since))
		o.since = time.Time{}
		return true
	}
	return false
}

// errUnanswered stands for every error of the database in what is shown.
var errUnanswered = errors.New(databaseAway)

// links knows whether broker, database and the other roles are there.
type links struct {
	history  History
	askLink  func() error
	askRoles func(now time.Time) []Absence
	location *time.Location
	now      func() time.Time
	metrics  *Metrics
	log      *slog.Logger

	mu       sync.Mutex
	broker   outage
	database outage
	roles    []Absence
	told     time.Time // since when all of the sentinel's alarms come here without a break; zero: they do not
	unknown  time.Time // since when the open alarms are not known yet; zero: they are
}

func newLinks(c Config, s Sources) *links {
	if s.Roles == nil {
		s.Roles = func(time.Time) []Absence { return nil }
	}
	return &links{history: s.History, askLink: s.Broker, askRoles: s.Roles, location: c.Location, now: c.Now, metrics: c.Metrics, log: c.Logger}
}

// run looks after all of them until ctx ends, and calls tell after a change.
func (l *links) run(ctx context.Context, tell func()) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		broker := l.setBroker(l.askLink())
		database := l.check(ctx)
		if l.setRoles() || broker || database {
			tell()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (l *links) setBroker(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broker.set(l.log, "broker", err, l.now())
}

// setUnknown notes since when the open alarms are not known; zero: they are.
func (l *links) setUnknown(since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unknown = since
}

func (l *links) alarmsUnknown() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unknown
}

// check asks the database. An answer that our own end cut off says nothing.
func (l *links) check(ctx context.Context) bool {
	limited, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	err := l.history.Ping(limited)
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		l.metrics.failures.WithLabelValues("ping").Inc()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.database.set(l.log, "database", err, l.now())
}

// away returns what is away.
func (l *links) away() (broker, database outage, roles []Absence) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broker, l.database, l.roles
}

// databaseAway returns why the database is away, or nil.
func (l *links) databaseAway() error {
	if _, d, _ := l.away(); !d.since.IsZero() {
		return fmt.Errorf("%w since %s", errUnanswered, l.clock(d.since))
	}
	return nil
}

// stamp says where what a picture shows is from.
func (l *links) stamp(p *plant.Picture) Stamp {
	now := l.now()
	_, offset := now.In(l.location).Zone()
	s := Stamp{Source: Live, AsOf: now, Now: now, Offset: offset / 60}
	if !p.Heard.IsZero() {
		s.AsOf = p.Heard
	}
	for i := range p.Units {
		if u := &p.Units[i]; u.State != plant.Stopped {
			s.Active++
			if u.Simulated() {
				s.Simulated++
			}
		}
	}
	if s.Active > 0 && s.Simulated == s.Active {
		s.Source, s.Reason = Simulated, "every unit on test is simulated"
	}
	l.degrade(&s)
	return s
}

// alarmsSince says that the alarms shown are as of a time, if not as of an earlier one.
func (s *Stamp) alarmsSince(t time.Time) {
	if s.AlarmsAsOf.IsZero() || t.Before(s.AlarmsAsOf) {
		s.AlarmsAsOf = t
	}
}

// degrade writes into a stamp what is away.
func (l *links) degrade(s *Stamp) {
	broker, database, roles := l.away()
	var reasons []string
	if !broker.since.IsZero() {
		s.Source, s.Since, s.AlarmsAsOf = Memory, broker.since, broker.since
		reasons = append(reasons, brokerAway)
		s.Lost = append(s.Lost, fmt.Sprintf("BROKER AWAY since %s: last known values, frozen; no new alarms; acknowledgements cannot be sent",
			l.clock(broker.since)))
	}
	if !database.since.IsZero() {
		s.Source = Memory
		if s.Since.IsZero() || database.since.Before(s.Since) {
			s.Since = database.since
		}
		reasons = append(reasons, databaseAway)
		s.Lost = append(s.Lost, fmt.Sprintf("DATABASE DOWN since %s: live from memory; history %d min; acknowledgements not yet durable",
			l.clock(database.since), int(plant.Window.Minutes())))
	}
	if len(reasons) > 0 {
		s.Reason = strings.Join(reasons, "; ")
	}
	if since := l.alarmsUnknown(); !since.IsZero() {
		s.alarmsSince(since)
		s.Lost = append(s.Lost, "ALARMS NOT KNOWN YET: neither the journal nor the sentinel has told which are open")
	}
	for _, a := range roles {
		l.missing(s, a, !database.since.IsZero())
	}
}

// clock writes a time of day; of another day, with its date.
func (l *links) clock(t time.Time) string {
	t, now := t.In(l.location), l.now().In(l.location)
	if t.YearDay() != now.YearDay() || t.Year() != now.Year() {
		return t.Format("2006-01-02 15:04")
	}
	return t.Format("15:04:05")
}
