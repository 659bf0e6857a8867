package health_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"andon.internal/collector/health"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plant is what a look finds. The zero value is a plant that was never used.
type plant struct {
	facts       health.Facts
	databaseErr error
	brokerErr   error
	messages    []message
	window      time.Duration
	retired     []string
	leases      []string
}

type message struct {
	topic    string
	payload  []byte
	retained bool
}

func state(online bool) message {
	s := sparkplug.State{Online: online, Timestamp: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC).UnixMilli()}
	return message{"spBv1.0/STATE/andon", s.Append(nil), true}
}

func heartbeat(node string, h sparkplug.Heartbeat) message {
	return message{"spBv1.0/line1/NDATA/" + node, h.Append(nil, 1, 1), false}
}

// good returns a plant with one cell where all is well.
func good() *plant {
	return &plant{
		window: 24 * time.Hour,
		facts: health.Facts{
			Leases: []health.Lease{{Name: "intake", Holder: "host/1", Left: 4 * time.Second}},
			Nodes:  []health.Node{{Group: "line1", Node: "cell-01", Born: time.Now(), Outstanding: 3}},
			Ahead:  []health.Days{{Profile: "dyno", Days: 7}, {Profile: "turbofan", Days: 6}},
		},
		messages: []message{state(true), heartbeat("cell-01", sparkplug.Heartbeat{Rows: 12, OldestMS: 300})},
	}
}

// look looks at a plant in a bubble, so that waiting takes no time.
func (p *plant) look(t *testing.T) (r health.Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		r, err = health.Look(t.Context(), health.Sources{
			Database: func(context.Context) (health.Facts, error) { return p.facts, p.databaseErr },
			Broker: func(ctx context.Context, hear func(string, []byte, bool)) error {
				if p.brokerErr != nil {
					return p.brokerErr
				}
				for _, m := range p.messages {
					hear(m.topic, m.payload, m.retained)
				}
				<-ctx.Done()
				return nil
			},
			HostID: "andon", Window: p.window, Retired: p.retired, Leases: p.leases,
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	return r
}

func find(t *testing.T, r health.Report, name string) health.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %s in %+v", name, r)
	return health.Check{}
}

func TestHealthy(t *testing.T) {
	r := good().look(t)
	if r.State != health.Healthy || r.ExitCode() != 0 {
		t.Errorf("%+v", r)
	}
	if r.Seconds != 0 {
		t.Errorf("everything was heard, and it still waited for %v s", r.Seconds)
	}
	for _, c := range r.Checks {
		if c.State != health.Healthy || c.Reason == "" {
			t.Errorf("%+v", c)
		}
	}
	if len(r.Cells) != 1 || !r.Cells[0].Heard || *r.Cells[0].Buffered != 12 || *r.Cells[0].Oldest != 0.3 || r.Cells[0].Outstanding != 3 {
		t.Errorf("cells %+v", r.Cells)
	}
	empty := good()
	empty.facts.Nodes, empty.messages = nil, []message{state(true)}
	if r := empty.look(t); r.State != health.Healthy || r.Cells == nil {
		t.Errorf("a plant without cells: %+v", r)
	}
}

// TestFaults changes one thing about a good plant.
func TestFaults(t *testing.T) {
	const silent = "cell-01 is silent"
	tests := []struct {
		name        string
		change      func(p *plant)
		check       string
		state       health.State
		reason      string
		whole       health.State
		longAsLimit bool // it has to wait for who does not come
	}{
		{"no database", func(p *plant) { p.facts, p.databaseErr = health.Facts{}, errors.New("refused") }, "database", health.Down, "refused", health.Down, true},
		{"no database, so no ledger", func(p *plant) { p.facts, p.databaseErr = health.Facts{}, errors.New("refused") }, "losses", health.Unknown, "database", health.Down, true},
		{"no broker", func(p *plant) { p.brokerErr = errors.New("refused") }, "broker", health.Down, "refused", health.Down, false},
		{"no broker, so no cells", func(p *plant) { p.brokerErr = errors.New("refused") }, "cells", health.Unknown, "broker", health.Down, false},
		{"no lease", func(p *plant) { p.facts.Leases = nil }, "intake", health.Down, "andon-collector run", health.Down, false},
		{"expired lease", func(p *plant) { p.facts.Leases[0].Left = -90 * time.Second }, "intake", health.Down, "host/1 gave up or lost the lease 1m30s ago", health.Down, false},
		{"another expired lease", func(p *plant) {
			p.facts.Leases = append(p.facts.Leases, health.Lease{Name: "sentinel", Holder: "x", Left: -time.Hour})
		}, "sentinel", health.Degraded, "1h ago", health.Degraded, false},
		{"a role that nobody does", func(p *plant) { p.leases = []string{"sentinel"} }, "sentinel", health.Degraded, "run --roles sentinel", health.Degraded, false},
		{"host offline", func(p *plant) { p.messages[0] = state(false) }, "host", health.Degraded, "offline since 2026-03-04T05:06:07Z", health.Degraded, false},
		{"host never there", func(p *plant) { p.messages = p.messages[1:] }, "host", health.Degraded, "has not said", health.Degraded, true},
		{"silent", func(p *plant) { p.messages = p.messages[:1] }, "cells", health.Degraded, silent, health.Degraded, true},
		{"retained sign", func(p *plant) { p.messages[1].retained = true }, "cells", health.Degraded, silent, health.Degraded, true},
		{"garbled sign", func(p *plant) { p.messages[1].payload = []byte("x") }, "cells", health.Degraded, silent, health.Degraded, true},
		{"gone", func(p *plant) {
			p.messages = append(p.messages, message{"spBv1.0/line1/NDEATH/cell-01", sparkplug.AppendNodeDeath(nil, 1, 1), false})
		}, "cells", health.Degraded, "cell-01 has just gone", health.Degraded, false},
		{"retired", func(p *plant) { p.messages, p.retired = p.messages[:1], []string{"line1/cell-01"} }, "cells", health.Healthy, "all 1", health.Healthy, false},
		{"backlog", func(p *plant) {
			p.messages[1] = heartbeat("cell-01", sparkplug.Heartbeat{Rows: 90_000, OldestMS: 3_600_000})
		}, "cells", health.Degraded, "holds 90000 readings back, the oldest for 1h", health.Degraded, false},
		{"clock", func(p *plant) {
			p.messages[1] = heartbeat("cell-01", sparkplug.Heartbeat{Clock: telemetry.TimeUnsynced})
		}, "cells", health.Degraded, "clock that is unsynced", health.Degraded, false},
		{"doubted", func(p *plant) { p.facts.Nodes[0].Doubted = time.Date(1999, 12, 31, 23, 0, 0, 0, time.UTC) }, "cells", health.Degraded, "two boxes of one name", health.Degraded, false},
		{"doubted long ago", func(p *plant) { p.facts.Nodes[0].Doubted = time.Date(1999, 12, 30, 0, 0, 0, 0, time.UTC) }, "cells", health.Healthy, "all 1", health.Healthy, false},
		{"unaccounted", func(p *plant) { p.facts.Nodes[0].Unaccounted = 2 }, "ledger", health.Degraded, "line1/cell-01 2 positions", health.Degraded, false},
		{"lost", func(p *plant) { p.facts.Lost = []health.Trouble{{"line1", "cell-01", "overflow", 40}} }, "losses", health.Degraded, "in the last 24h: line1/cell-01 40 (overflow)", health.Degraded, false},
		{"quarantined", func(p *plant) {
			for n := range 7 {
				p.facts.Quarantined = append(p.facts.Quarantined, health.Trouble{Group: "line1", Node: fmt.Sprint("c", n), Reason: "x", Count: 1})
			}
		}, "quarantine", health.Degraded, "line1/c4 1 (x), and 2 more;", health.Degraded, false},
		{"partitions", func(p *plant) { p.facts.Ahead[1].Days = 4 }, "partitions", health.Degraded, "turbofan has 4 days", health.Degraded, false},
		{"no partition", func(p *plant) { p.facts.Ahead[0].Days = -1 }, "partitions", health.Degraded, "dyno has none for today", health.Degraded, false},
		{"no profile", func(p *plant) { p.facts.Ahead = nil }, "partitions", health.Degraded, "migrate", health.Degraded, false},
		{"worst wins", func(p *plant) { p.facts.Ahead, p.brokerErr = nil, errors.New("refused") }, "partitions", health.Degraded, "", health.Down, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := good()
			tt.change(p)
			r := p.look(t)
			if c := find(t, r, tt.check); c.State != tt.state || !strings.Contains(c.Reason, tt.reason) {
				t.Errorf("%+v, want %s with %q", c, tt.state, tt.reason)
			}
			if want := map[health.State]int{health.Healthy: 0, health.Degraded: 1, health.Down: 2}[tt.whole]; r.State != tt.whole || r.ExitCode() != want {
				t.Errorf("the plant is %s with exit code %d, want %s with %d", r.State, r.ExitCode(), tt.whole, want)
			}
			if limit := health.Limit.Seconds(); r.Seconds > limit || (r.Seconds > 0) != tt.longAsLimit {
				t.Errorf("it took %v s", r.Seconds)
			}
		})
	}
}

func TestUnknownCellIsListed(t *testing.T) {
	p := good()
	p.messages = append([]message{heartbeat("cell-00", sparkplug.Heartbeat{})}, p.messages...)
	r := p.look(t)
	if len(r.Cells) != 2 || r.Cells[0].Node != "cell-00" || r.State != health.Healthy {
		t.Errorf("%+v", r)
	}
}

// TestEverythingHangs asks sources that answer only when they are given up.
func TestEverythingHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := health.Sources{
			Database: func(ctx context.Context) (health.Facts, error) { <-ctx.Done(); return health.Facts{}, ctx.Err() },
			Broker:   func(ctx context.Context, _ func(string, []byte, bool)) error { <-ctx.Done(); return ctx.Err() },
			HostID:   "andon",
		}
		began := time.Now()
		r, err := health.Look(t.Context(), s)
		if took := time.Since(began); took > health.Limit || err != nil || r.State != health.Down {
			t.Errorf("took %v: %+v, %v", took, r, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if r, err := health.Look(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a look that was ended gives %+v, %v", r, err)
		}
	})
}

func TestWrite(t *testing.T) {
	p := good()
	p.facts.Nodes = append(p.facts.Nodes, health.Node{Group: "line1", Node: "cell-02", Newest: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)})
	p.facts.Quarantined = []health.Trouble{{"line1", "cell-01", "two\nlines", 1}}
	r := p.look(t)
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"DEGRADED  2000-01-01T00:00:04Z, in 4.5 s\n",
		"database    healthy   answers",
		"cells       degraded  1 of 2: line1/cell-02 is silent\n",
		"quarantine  degraded  set aside in the last 24h: line1/cell-01 1 (two lines); see",
		"CELL           STATE     HEARD  BUFFERED  OLDEST  OUTSTANDING  NEWEST STORED\n",
		"line1/cell-01  healthy   yes    12        300ms   3            -\n",
		"line1/cell-02  degraded  no     -         -       0            2026-03-04T05:06:07Z\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, text.String())
		}
	}
	var raw bytes.Buffer
	if err := r.WriteJSON(&raw); err != nil {
		t.Fatal(err)
	}
	var back health.Report
	if err := json.Unmarshal(raw.Bytes(), &back); err != nil || back.State != r.State || len(back.Checks) != len(r.Checks) || len(back.Cells) != 2 {
		t.Errorf("%s: %v", raw.String(), err)
	}
}
