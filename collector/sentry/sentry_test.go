package sentry_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"andon.internal/collector/feed"
	"andon.internal/collector/sentry"
	"andon.internal/shared/alarm"
	"andon.internal/shared/rules"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

func TestRaisedAgainIsOneAlarmUntilItIsSeen(t *testing.T) {
	with(t, sentry.Config{}, nil, func(r *rig) {
		r.birth(1, "u")
		r.reading("u", 100)
		first := r.id()
		r.reading("u", 50)
		r.reading("u", 100)
		r.want("id", r.id(), first)
		r.ack(first)
		r.ack(first) // said again, and changes nothing
		r.reading("u", 50)
		r.reading("u", 100)
		if r.id() == first {
			t.Error("a closed alarm was raised again")
		}
		r.want("published", r.sent(), "hot 1 unacknowledged, hot 1 unacknowledged, hot 2 returned-unacknowledged, "+
			"hot 3 unacknowledged, hot 4 acknowledged, hot 4 acknowledged, hot 5 closed")
		r.want("journal", r.journalled(), "hot 1 raised, hot 2 cleared, hot 3 raised, hot 4 acknowledged, hot 5 cleared, hot 1 raised")
	})
}

func TestWhatIsNotEvaluated(t *testing.T) {
	shorter := *dyno
	shorter.Signals = shorter.Signals[:4]
	tests := []struct {
		name string
		edit func(e *feed.Event)
	}{
		{"an old record before any live one", func(e *feed.Event) { e.Old = true }},
		{"a record of another run", func(e *feed.Event) { e.Record.Born = 0 }},
		{"a record of an unknown unit", func(e *feed.Event) { e.Record.Unit = "v" }},
		{"a record of another layout", func(e *feed.Event) {
			e.Record.Profile, e.Record.Values = &shorter, e.Record.Values[:4]
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			with(t, sentry.Config{}, nil, func(r *rig) {
				r.birth(1, "u")
				r.reading("u", 100, tt.edit)
				r.want("published", r.sent(), "")
				if n := r.metric("skipped_records_total"); n != 1 {
					t.Errorf("%v records are counted", n)
				}
				r.reading("u", 100)
				r.want("then published", r.sent(), "hot 1 unacknowledged")
			})
		})
	}
}

// A unit that is born anew in the same run, with another layout, is judged by that.
func TestAnotherLayoutInTheSameRun(t *testing.T) {
	fewer := *dyno
	fewer.Signals = fewer.Signals[1:]
	with(t, sentry.Config{}, nil, func(r *rig) {
		r.birth(1, "u")
		r.reading("u", 20) // finds its profile to be the unit's
		r.take(feed.Event{Kind: feed.UnitBorn, UnitID: "u", Unit: &sparkplug.UnitBirth{Unit: "u", Profile: &fewer, Born: 1}})
		r.reading("u", 100)
		r.want("published", r.sent(), "")
		if n := r.metric("skipped_records_total"); n != 1 {
			t.Errorf("%v records are counted", n)
		}
	})
}

func TestEndsOfRuns(t *testing.T) {
	backlog := func(r *rig, born int64) {
		r.take(feed.Event{Kind: feed.UnitBorn, UnitID: "u", Unit: &sparkplug.UnitBirth{Unit: "u", Profile: dyno, Born: born, Backlog: true}})
	}
	tests := []struct {
		name string
		end  func(r *rig)
		want string
	}{
		{"death", func(r *rig) { r.take(feed.Event{Kind: feed.UnitDied, UnitID: "u"}) }, "hot 2 returned-unacknowledged"},
		{"last record", func(r *rig) {
			r.reading("u", 100, func(e *feed.Event) { e.Record.End = &telemetry.End{Time: 2} })
		}, "hot 2 returned-unacknowledged"},
		{"the next run", func(r *rig) { r.birth(2, "u") }, "hot 2 returned-unacknowledged"},
		{"not named again", func(r *rig) {
			r.birth(1)
			backlog(r, 1)
			time.Sleep(5 * time.Second)
			r.take(feed.Event{Kind: feed.NodeHeard})
		}, "hot 2 returned-unacknowledged"},
		{"named again", func(r *rig) {
			r.birth(1, "u")
			backlog(r, 0) // of a run before
			time.Sleep(4 * time.Second)
			r.reading("u", 100)
			time.Sleep(2 * time.Second)
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			with(t, sentry.Config{}, nil, func(r *rig) {
				r.birth(1, "u")
				r.reading("u", 100)
				r.sent()
				tt.end(r)
				var about []string
				for line := range strings.SplitSeq(r.sent(), ", ") {
					if strings.HasPrefix(line, "hot") {
						about = append(about, line)
					}
				}
				r.want("published", strings.Join(about, ", "), tt.want)
			})
		})
	}
}

func TestTimersFireByThemselves(t *testing.T) {
	with(t, sentry.Config{}, nil, func(r *rig) {
		begin := time.Now()
		r.birth(1, "u")
		r.reading("u", 50)
		time.Sleep(3900 * time.Millisecond)
		r.want("before", r.sent(), "")
		time.Sleep(200 * time.Millisecond)
		r.want("after", r.sent(), "node-offline 1 unacknowledged")
		if took := r.s.Open()[0].RaisedAt.Sub(begin); took < 4*time.Second || took > 4010*time.Millisecond {
			t.Errorf("decided after %v", took)
		}
		time.Sleep(3 * time.Second) // the unit's silence is beneath the node's
		r.want("then", r.sent(), "")
		time.Sleep(3100 * time.Millisecond)
		r.want("repeated", r.sent(), "node-offline 1 unacknowledged")
	})
}

// TestJournalIsNotReadYet: a sentry that begins does not pass for one that knows what is open.
func TestJournalIsNotReadYet(t *testing.T) {
	s, err := sentry.New(sentry.Config{Rules: rules.Shipped()}, &link{}, &journal{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Journal() == nil {
		t.Error("the journal counts as there before it was read")
	}
}

func TestJournalIsAway(t *testing.T) {
	with(t, sentry.Config{}, nil, func(r *rig) {
		r.birth(1, "u", "v")
		r.journal.set(func(j *journal) { j.err = errNo })
		for range 50 {
			r.reading("u", 100)
			r.reading("u", 50)
		}
		r.reading("v", 100)
		if r.sent() == "" {
			t.Error("nothing is published without a journal")
		}
		time.Sleep(3 * time.Second)
		if err := r.s.Journal(); err == nil {
			t.Error("the journal counts as there")
		}
		r.want("journal", r.journalled(), "")
		r.journal.set(func(j *journal) { j.err = nil })
		time.Sleep(3 * time.Second)
		if err := r.s.Journal(); err != nil {
			t.Error(err)
		}
		got := strings.Split(r.journalled(), ", ")
		for n, want := range []string{"hot 1 raised", "hot 2 cleared", "hot 3 raised"} {
			r.want(fmt.Sprint("event ", n), got[n], want)
		}
		r.want("the last of u", got[99], "hot 100 cleared")
		r.want("of v", got[100], "hot 1 raised")
	})
}

func TestPendingIsBounded(t *testing.T) {
	with(t, sentry.Config{Pending: 3}, func(r *rig) { r.journal.err = errNo }, func(r *rig) {
		r.birth(1, "u")
		for range 5 {
			r.reading("u", 100)
			r.reading("u", 50)
		}
		if lost, waiting := r.metric("lost_events_total"), r.metric("journal_pending"); lost != 7 || waiting != 3 {
			t.Errorf("%v events are lost and %v wait", lost, waiting)
		}
	})
}

func TestBrokerIsAway(t *testing.T) {
	with(t, sentry.Config{}, nil, func(r *rig) {
		r.birth(1, "u")
		r.link.fail(errNo)
		r.reading("u", 100)
		r.reading("u", 50)
		time.Sleep(time.Second)
		r.link.fail(nil)
		time.Sleep(300 * time.Millisecond)
		r.want("published", r.sent(), "hot 2 returned-unacknowledged") // as it stands, once
	})
}

func TestMalformedAcknowledgements(t *testing.T) {
	with(t, sentry.Config{}, nil, func(r *rig) {
		r.birth(1, "u")
		r.reading("u", 100)
		id := r.id()
		r.ack(strings.Repeat("0", 24))
		for _, payload := range []string{"", "{", `{"id":"` + id + `"}`, `{"id":"x","by":"kim"}`} {
			r.take(feed.Event{Kind: feed.Other, Topic: "andon/ack/" + id, Payload: []byte(payload)})
		}
		// What pages in the same process hear is none, and is not counted as a bad one.
		for _, topic := range []string{"elsewhere", "andon/alarm/plant/" + id, "andon/role/web"} {
			r.take(feed.Event{Kind: feed.Other, Topic: topic, Payload: []byte(`{"id":"` + id + `","by":"kim"}`)})
		}
		r.want("published", r.sent(), "hot 1 unacknowledged")
		if n := r.metric("refused_acks_total"); n != 5 {
			t.Errorf("%v are counted", n)
		}
	})
}

// past is an alarm that a journal has.
func past(rule string, condition alarm.Condition, sequence int) sentry.Journalled {
	onset := sentinel.Identity{Epoch: epoch, Position: 77}
	s := sentinel.Subject{Group: cell.Group, Node: cell.ID, Unit: "u"}
	return sentry.Journalled{Onset: onset, Alarm: alarm.Alarm{
		ID: alarm.ID(rule, s, onset), Rule: rule, Priority: sentinel.High, Group: s.Group, Node: s.Node, Unit: s.Unit,
		Condition: condition, Quality: alarm.Good, RaisedAt: time.Unix(1, 0), ActiveAt: time.Unix(1, 0), Sequence: sequence,
	}}
}

func TestBeginsWithWhatIsOpen(t *testing.T) {
	tests := []struct {
		name    string
		past    sentry.Journalled
		then    func(r *rig)
		sent    string
		journal string
	}{
		{"active, and still so", past("hot", alarm.Active, 1), func(r *rig) { r.reading("u", 100) }, "hot 1 unacknowledged", ""},
		{
			"active, and then not", past("hot", alarm.Active, 1), func(r *rig) { r.reading("u", 50) },
			"hot 1 unacknowledged, hot 2 returned-unacknowledged", "hot 2 cleared",
		},
		{
			"returned, and raised again", past("hot", alarm.Normal, 2), func(r *rig) { r.reading("u", 100) },
			"hot 2 returned-unacknowledged, hot 3 unacknowledged", "hot 3 raised",
		},
		{"of a rule that is gone", past("cold", alarm.Active, 1), func(*rig) {}, "cold 2 returned-unacknowledged", "cold 2 ended"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			with(t, sentry.Config{}, func(r *rig) { r.journal.past.Alarms = []sentry.Journalled{tt.past} }, func(r *rig) {
				r.birth(1, "u")
				tt.then(r)
				r.want("published", r.sent(), tt.sent)
				r.want("journal", r.journalled(), tt.journal)
			})
		})
	}
}

// The journal's alarm and one that was raised before it could be read are one.
func TestBeginsWithoutJournal(t *testing.T) {
	for _, tt := range []struct {
		name    string
		past    sentry.Journalled
		sent    string
		journal string
	}{
		{"both active", past("hot", alarm.Active, 1), "hot 1 unacknowledged, hot 3 closed", ""},
		{"the journal's returned", past("hot", alarm.Normal, 2), "hot 3 closed, hot 3 unacknowledged", "hot 3 raised"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			with(t, sentry.Config{}, func(r *rig) { r.journal.err = errNo }, func(r *rig) {
				r.birth(1, "u")
				r.reading("u", 100)
				r.want("first", r.sent(), "hot 1 unacknowledged")
				r.journal.set(func(j *journal) { j.err, j.past.Alarms = nil, []sentry.Journalled{tt.past} })
				time.Sleep(time.Second)
				r.want("id", r.id(), tt.past.Alarm.ID)
				r.want("published", r.sent(), tt.sent)
				r.want("journal", r.journalled(), tt.journal)
			})
		})
	}
}

func TestRestoredDatabase(t *testing.T) {
	with(t, sentry.Config{}, nil, func(r *rig) {
		r.birth(1, "u", "v")
		r.reading("u", 100)
		r.want("journal", r.journalled(), "hot 1 raised")
		r.journal.set(func(j *journal) { j.once, j.events, j.seen = sentry.ErrRestored, nil, map[string]bool{} })
		r.reading("v", 100)
		time.Sleep(time.Second)
		r.want("journal of the backup", r.journalled(), "hot 1 raised, hot 1 raised")
	})
}

func TestLeaseIsLost(t *testing.T) {
	with(t, sentry.Config{}, nil, func(r *rig) {
		r.birth(1, "u", "v")
		r.journal.set(func(j *journal) { j.other = true })
		time.Sleep(3 * time.Second)
		r.reading("u", 100)
		r.want("published in standby", r.sent(), "")
		if err := r.s.Journal(); err == nil {
			t.Error("a standby says nothing of it")
		}
		r.journal.set(func(j *journal) { j.other = false }) // and the other had not heard of it
		time.Sleep(time.Second)
		r.want("published", r.sent(), "hot 1 unacknowledged")
		r.want("journal", r.journalled(), "hot 1 raised")
	})
}
