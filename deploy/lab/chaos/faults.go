package chaos

import (
	"context"
	"strings"
	"time"

	"andon.internal/lab/factory"
)

// The cells.
const (
	fileCell = "cell-01" // replays a file
	dynoCell = "cell-02" // simulated dynos
)

// Fault is a row of the table.
type Fault struct {
	Name     string
	Expected string
	Targets  []string // of which each strike takes one
	Needs    []string // what no other fault may break meanwhile: "process", "link" or "disk" of the target, or of who is named behind it
	Least    time.Duration
	Most     time.Duration // between strike and cure
	Losses   []string      // reasons for which the cell of dynos may then lose readings, and tell it

	strike func(ctx context.Context, r *rig, target string) (cure, error)
}

// cure ends a fault.
type cure func(ctx context.Context) error

func (f *Fault) needs(target string) []string {
	var out []string
	for _, what := range f.Needs {
		if strings.Contains(what, " ") {
			out = append(out, what)
			continue
		}
		out = append(out, what+" "+target)
		if target == everything {
			for _, name := range processes {
				out = append(out, what+" "+name)
			}
		}
	}
	return out
}

// everything is the target of a fault that strikes all processes.
const everything = "everything"

var (
	processes = []string{factory.Postgres, factory.Broker, factory.Collector, fileCell, dynoCell}
	cells     = []string{fileCell, dynoCell}
	dyno      = []string{dynoCell}
	onProcess = []string{"process"}
	onLink    = []string{"link"}
	crash     = []string{"crash"}
)

// Faults is the table.
var Faults = []*Fault{
	{"kill-agent", "the last linger of a live source is gone and told; all else exact", cells, onProcess, 200 * time.Millisecond, 5 * time.Second, crash, kill},
	{"kill-broker", "sessions begin anew; exact", []string{factory.Broker}, onProcess, 200 * time.Millisecond, 5 * time.Second, nil, kill},
	{"kill-collector", "what came twice is recognised; exact", []string{factory.Collector}, onProcess, 200 * time.Millisecond, 5 * time.Second, nil, kill},
	{"kill-postgres", "nothing is acknowledged meanwhile; exact", []string{factory.Postgres}, onProcess, 200 * time.Millisecond, 8 * time.Second, nil, kill},
	{"kill-all", "as one crash of the plant; told like kill-agent", []string{everything}, onProcess, time.Second, 5 * time.Second, crash, killAll},
	{"pause-agent", "the session is taken for dead and begins anew; exact", cells, onProcess, 2 * time.Second, 60 * time.Second, nil, pause},
	{"pause-broker", "cells connect anew; exact", []string{factory.Broker}, onProcess, 2 * time.Second, 60 * time.Second, nil, pause},
	{"pause-collector", "nothing is acknowledged, then everything; exact", []string{factory.Collector}, onProcess, 2 * time.Second, 60 * time.Second, nil, pause},
	{"pause-postgres", "the collector waits, cells buffer; exact", []string{factory.Postgres}, onProcess, 2 * time.Second, 60 * time.Second, nil, pause},

	{"link-down", "the cell buffers and is back within 25 s; exact", cells, onLink, time.Second, 30 * time.Second, nil, linkDown},
	{"half-open-up", "the broker hears nothing of the cell, which finds out; exact", cells, onLink, 2 * time.Second, 30 * time.Second, nil, unheard},
	{"half-open-down", "the cell hears nothing, what it sends is stored once; exact", cells, onLink, 2 * time.Second, 30 * time.Second, nil, deaf},
	{"flapping", "short sessions, none of them believed for long; exact", cells, onLink, 5 * time.Second, 20 * time.Second, nil, flap},
	{"slow-link", "64 kbit/s: slower only; exact", cells, onLink, 5 * time.Second, 30 * time.Second, nil, slow},

	{"postgres-stop", "the collector waits, cells buffer; exact", []string{factory.Postgres}, onProcess, time.Second, 15 * time.Second, nil, stop},
	{"postgres-immediate", "as a crash of the server, which starts again; exact", []string{factory.Postgres}, onProcess, time.Second, 2 * time.Second, nil, immediate},
	{"postgres-full", "commits fail until there is room; exact", []string{factory.Postgres}, onProcess, 2 * time.Second, 15 * time.Second, nil, databaseFull},
	{"postgres-ddl", "commits wait for the lock; exact", []string{factory.Postgres}, onProcess, 2 * time.Second, 15 * time.Second, nil, ddl},
	{"postgres-reader", "a transaction that stays open holds nobody up; exact", []string{factory.Postgres}, onProcess, 2 * time.Second, 20 * time.Second, nil, longReader},

	{"cell-full", "a file's source waits; of a live one what finds no room is lost and told", cells, []string{"disk", "process"}, 2 * time.Second, 15 * time.Second, []string{"overflow"}, cellFull},
	{"power-cell", "at most linger and one sync of a live source; nothing that was declared safe", cells, []string{"disk", "process"}, time.Second, 5 * time.Second, crash, powerOff},
	{"power-postgres", "nothing that was acknowledged; exact", []string{factory.Postgres}, onProcess, time.Second, 5 * time.Second, nil, powerOff},
	{"damaged-buffer", "the agent starts; readings that do not read back are lost and told", []string{dynoCell}, []string{"disk", "process", "link"}, 500 * time.Millisecond, 2 * time.Second, []string{"crash", "damaged"}, damage},
	{"rolled-back", "no fresh reading is taken for one of before", []string{dynoCell}, []string{"disk", "process"}, 3 * time.Second, 10 * time.Second, crash, rollBack},

	{"malformed", "quarantined once each, dropped or refused, and counted; the others are not concerned", cells, []string{"attacker"}, 2 * time.Second, 15 * time.Second, nil, malformed},
	{"database-restored", "an older copy takes its place: with retain sent again, exact; without, what it lacks is lost and told", []string{everything}, onProcess, 3 * time.Second, 15 * time.Second, nil, databaseRestored},
	{"standby-promoted", "one that lacks commits, on a new timeline: as database-restored", []string{everything}, onProcess, 3 * time.Second, 15 * time.Second, nil, standbyPromoted},
	{"two-live-clones", "a second agent runs from a copy of the disk: each reading of the first once, whoever sent it; noticed", []string{dynoCell}, []string{"disk", "process", "link"}, 5 * time.Second, 15 * time.Second, crash, twoClones},
	{"certificate-expired", "the cell says so and buffers, and drains with a new one; exact", cells, []string{"process", "link", "process " + factory.Broker}, 9 * time.Second, 20 * time.Second, nil, certificateExpired},
	{"replayed-data", "records that come a second time, a second later, are recognised; exact", cells, []string{"replay"}, 2 * time.Second, 15 * time.Second, nil, replay},

	{"packet-loss", "a tenth of all packets: slower only; exact", cells, onLink, 5 * time.Second, 25 * time.Second, nil, packetLoss},
	{"packet-repeat", "a quarter of all packets twice: nothing is stored twice; exact", cells, onLink, 5 * time.Second, 25 * time.Second, nil, packetRepeat},
	{"packet-reorder", "a quarter of all packets overtaken: slower only; exact", cells, onLink, 5 * time.Second, 25 * time.Second, nil, packetReorder},
	{"delay-500ms", "half a second in each direction: slower only; exact", cells, onLink, 5 * time.Second, 25 * time.Second, nil, packetDelay},
	{"slow-disk", "20 writes a second and no link: every reading is taken in time; exact", cells, []string{"disk", "process", "link"}, 5 * time.Second, 20 * time.Second, nil, slowDisk},
	{"dead-disk", "no write succeeds and no link: goes on from memory and says so; what is gone with the new disk is told", cells, []string{"disk", "process", "link"}, 5 * time.Second, 15 * time.Second, crash, deadDisk},
	{"failing-sync", "no sync succeeds and no link: goes on from memory, says so, writes again in new files; exact", cells, []string{"disk", "process", "link"}, 5 * time.Second, 15 * time.Second, nil, failingSync},
	{"failing-sync-kill", "as failing-sync, and killed once it writes again; told like kill-agent", cells, []string{"disk", "process", "link"}, 5 * time.Second, 15 * time.Second, crash, failingSyncKill},

	{"clock-ahead", "an hour ahead: marked as skewed; exact", dyno, onProcess, 3 * time.Second, 20 * time.Second, nil, clockOff(time.Hour)},
	{"clock-behind", "an hour behind: marked as skewed; exact", dyno, onProcess, 3 * time.Second, 20 * time.Second, nil, clockOff(-time.Hour)},
	{"clock-1970", "the cell boots without a clock: its readings are dated from its uptime; exact", dyno, onProcess, 3 * time.Second, 20 * time.Second, nil, clock1970},
	{"clock-steps", "set again and again: marked; exact", dyno, onProcess, 3 * time.Second, 20 * time.Second, nil, clockSteps},
}
