package collector_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"andon.internal/collector"
	"andon.internal/collector/health"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/config"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// lookAt takes a look at a plant while a cell, unless it is nil, sends heartbeats.
func lookAt(t *testing.T, broker, dsn string, beating *edgetest.Client, h sparkplug.Heartbeat) health.Report {
	t.Helper()
	c := collector.DefaultConfig()
	c.MQTT.URL, c.Database.DSN, c.Roles = broker, dsn, []string{collector.RoleIntake}
	type result struct {
		report health.Report
		err    error
	}
	done := make(chan result, 1)
	limit := time.After(2 * patience)
	go func() {
		r, err := collector.Health(t.Context(), c, collector.HealthOptions{Window: time.Hour}, discard)
		done <- result{r, err}
	}()
	beat := time.NewTicker(50 * time.Millisecond)
	defer beat.Stop()
	for {
		select {
		case r := <-done:
			if r.err != nil {
				t.Fatal(r.err)
			}
			return r.report
		case <-limit: // what hangs is given up
			t.Fatal("the look does not end")
		case <-beat.C:
			if beating != nil {
				beating.Send(beating.Node.Heartbeat(h))
			}
		}
	}
}

// wantHealth looks until the plant is in this state, and of its checks those that are
// named, as "name: reason", are the ones not healthy. It returns what it saw.
func wantHealth(t *testing.T, look func() health.Report, s health.State, bad ...string) health.Report {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		r := look()
		odd := oddIn(r, s, bad)
		if len(odd) == 0 {
			return r
		}
		if time.Now().After(end) {
			t.Fatalf("%q\n%+v", odd, r)
		}
	}
}

// oddIn is what a report has that is not wanted, or the other way round.
func oddIn(r health.Report, s health.State, bad []string) (odd []string) {
	left := len(bad)
	for _, c := range r.Checks {
		if c.State == health.Healthy || c.State == health.Unknown {
			continue
		}
		known := false
		for _, want := range bad {
			name, reason, _ := strings.Cut(want, ": ")
			known = known || (c.Name == name && strings.Contains(c.Reason, reason))
		}
		if !known {
			odd = append(odd, fmt.Sprintf("%s is %s: %s", c.Name, c.State, c.Reason))
		}
		left--
	}
	if r.State != s || left != 0 {
		odd = append(odd, fmt.Sprintf("the plant is %s, want %s with %q", r.State, s, bad))
	}
	return odd
}

func TestHealth(t *testing.T) {
	t.Parallel()
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	calm := sparkplug.Heartbeat{Rows: 2, OldestMS: 100}
	while := func(beating *edgetest.Client, h sparkplug.Heartbeat) func() health.Report {
		return func() health.Report { return lookAt(t, broker.URL(), dsn, beating, h) }
	}
	silent := while(nil, calm)
	wantHealth(t, silent, health.Down,
		"database: andon-collector migrate", "host: has not said")

	col := start(t, broker, dsn, func(c *collector.Config) { c.Roles = []string{collector.RoleIntake} })
	col.waitReady()
	n := newNode("cell-01")
	c := dial(t, broker, n)
	send(c, 3, 10)
	deliver(c, 3, 10)
	r := wantHealth(t, while(c, calm), health.Healthy)
	if len(r.Cells) != 1 || *r.Cells[0].Buffered != 2 || r.Cells[0].Newest.IsZero() {
		t.Errorf("cells %+v", r.Cells)
	}

	// A cell that holds readings back, loses some and sends what nobody can store.
	foreign := edgetest.NewNode(group, "cell-01").Profile // is not installed
	c.Send(n.Loss(telemetry.Loss{Epoch: n.Epoch, From: 100, To: 140, Reason: "overflow"}))
	deliver(c, 4, 10)
	n.Profile = foreign
	c.Send(n.UnitBirth("unit-2", born, false), n.DataAt(4, n.Reading("unit-2", born, born, 0, 1), false))
	c.WaitAcked(5)
	wantHealth(t, while(c, sparkplug.Heartbeat{Rows: 9000, OldestMS: 600_000}), health.Degraded,
		"cells: line1/cell-01 holds 9000 readings back, the oldest for 10m",
		"losses: line1/cell-01 40 (overflow)", "quarantine: line1/cell-01 1 (")

	// The cell falls silent, then the collector stops, then the broker.
	wantHealth(t, silent, health.Degraded, "cells: line1/cell-01 is silent", "losses: ", "quarantine: ")
	col.stop()
	wantHealth(t, while(c, calm), health.Down,
		"intake: no collector stores readings", "host: is offline", "losses: ", "quarantine: ")
	broker.Stop()
	wantHealth(t, silent, health.Down,
		"broker: refused", "intake: ", "losses: ", "quarantine: ")
}

// TestHealthOfWhatHangs looks at a database and a broker that take connections and
// say nothing.
func TestHealthOfWhatHangs(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	at := silent.Addr().String()
	look := func() health.Report {
		return lookAt(t, "tcp://"+at, "postgres://andon@"+at+"/andon", nil, sparkplug.Heartbeat{})
	}
	wantHealth(t, look, health.Down,
		"database: ", "broker: ")
}

func TestHealthFaults(t *testing.T) {
	good := collector.DefaultConfig()
	good.Database.DSN = server.DSN()
	for want, edit := range map[string]func(*collector.Config){
		"open store":    func(c *collector.Config) { c.Database.DSN = "postgres://h:nan/d" },
		"load profiles": func(c *collector.Config) { c.Profiles = append(c.Profiles, "/nowhere.yaml") },
		"read secret":   func(c *collector.Config) { c.Database.DSN, c.Database.DSNFrom = "", config.SecretFile("/nowhere") },
	} {
		c := good
		edit(&c)
		if _, err := collector.Health(t.Context(), c, collector.HealthOptions{}, discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}
