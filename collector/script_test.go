package collector_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/profiles"
	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// newNode returns a node that measures with the built-in profile dyno.
func newNode(id string) *edgetest.Node {
	n := edgetest.NewNode(group, id)
	n.Profile = profiles.Find(profiles.Builtin(), "dyno")
	return n
}

// dial connects a node and says its births.
func dial(t testing.TB, broker *edgetest.Broker, n *edgetest.Node) *edgetest.Client {
	t.Helper()
	c := edgetest.Dial(t, broker.URL(), n)
	births(c)
	return c
}

// births says all births of a node.
func births(c *edgetest.Client) {
	c.Send(c.Node.Birth(), c.Node.UnitBirth(unit, born, false))
}

// record returns the record of position p: rows readings, 10 ms from those of the next.
func record(n *edgetest.Node, p uint64, rows int) *telemetry.Record {
	return n.Reading(unit, born, born+int64(p)*int64(rows)*10e6, p*uint64(rows), rows)
}

// send sends the records of the next count positions.
func send(c *edgetest.Client, count, rows int) {
	for range count {
		c.Send(c.Node.Data(record(c.Node, c.Node.Next, rows)))
	}
}

// resend sends again, as history, what was not acknowledged of the present epoch.
func resend(c *edgetest.Client, rows int) {
	acked := c.Acked()
	for p := range c.Node.Next {
		if !acked.Contains(p) {
			c.Send(c.Node.DataAt(p, record(c.Node, p, rows), true))
		}
	}
}

// deliver behaves as a patient agent until positions [0, to) are acknowledged: it
// says its births when it is asked, and sends again what is not acknowledged.
func deliver(c *edgetest.Client, to uint64, rows int) {
	want := ranges.Of(ranges.Range{From: 0, To: to})
	again := time.Now().Add(time.Second)
	c.Until("delivery of "+want.String(), func() bool {
		if got := c.Acked(); got.Intersect(want).Equal(want) {
			return true
		}
		asked := c.TakeRebirth()
		if asked {
			births(c)
		}
		if asked || time.Now().After(again) {
			resend(c, rows)
			again = time.Now().Add(time.Second)
		}
		return false
	})
}

// wantExact fails unless the readings of positions [0, to) of the node's epoch are
// stored, each exactly once, with the values they were sent with, and nothing else.
func wantExact(t testing.TB, dsn string, n *edgetest.Node, to uint64, rows int) {
	t.Helper()
	columns := make([]string, 0, len(n.Profile.Signals))
	for i := range n.Profile.Signals {
		columns = append(columns, n.Profile.Signals[i].Name)
	}
	got := query(t, dsn, `SELECT r.position, r.row_no, (extract(epoch FROM r.ts) * 1000000)::bigint, `+strings.Join(columns, ", ")+`
 FROM reading_`+n.Profile.Name+` r JOIN epoch e USING (epoch_key) WHERE e.epoch_id = $1 ORDER BY 1, 2`, n.Epoch.String())
	if len(got) != int(to)*rows {
		t.Errorf("%d readings are stored, want %d", len(got), int(to)*rows)
	}
	i := 0
	for p := range to {
		r := record(n, p, rows)
		for row := range r.Len() {
			want := []any{int64(p), int16(row), r.Times[row] / 1000}
			for s, v := range r.Row(row) {
				want = append(want, plain(n.Profile.Signals[s].Type, v))
			}
			if i >= len(got) {
				return
			}
			if text := strings.TrimSpace(fmt.Sprintln(want...)); got[i] != text {
				t.Fatalf("reading %d is\n%s\nwant\n%s", i, got[i], text)
			}
			i++
		}
	}
	ledger := query(t, dsn, `SELECT l.committed::text FROM ledger l JOIN epoch e USING (epoch_key) WHERE e.epoch_id = $1`, n.Epoch.String())
	if want := fmt.Sprintf("{[0,%d)}", to); len(ledger) != 1 || ledger[0] != want {
		t.Errorf("the ledger says %v, want %s", ledger, want)
	}
}

// plain is the value as PostgreSQL's driver returns it.
func plain(t telemetry.Type, v telemetry.Value) any {
	f, _ := v.Float()
	switch t {
	case telemetry.Double:
		return f
	case telemetry.Real:
		return float32(f)
	case telemetry.Integer:
		return v.Int()
	}
	return v.Bool()
}
