package collector_test

import (
	"strings"
	"testing"

	"andon.internal/collector"
	"andon.internal/collector/internal/edgetest"
)

func TestHostileMessagesHurtNobody(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	enemy := edgetest.Dial(t, broker.URL(), newNode("enemy"))
	good := c.Node.Data(record(c.Node, 0, 1))
	c.Send(good) // half of this message comes below, under the same position
	topics := []string{
		"spBv1.0", "spBv1.0/line1/NBIRTH/enemy", "spBv1.0/line1/DBIRTH/enemy/u", "spBv1.0/line1/DDATA/enemy/u",
		"spBv1.0/line1/NDATA/enemy", "spBv1.0/line1/NDEATH/enemy", "spBv1.0/line1/DDEATH/enemy/u",
		"spBv1.0/line1/DDATA/cell/unit-1", "spBv1.0/line1/NDATA/cell", "spBv1.0//NBIRTH/",
		"spBv1.0/" + strings.Repeat("x", 300) + "/NBIRTH/n",
	}
	payloads := [][]byte{
		nil,
		{0},
		{0xff, 0xff, 0xff},
		good.Payload[:len(good.Payload)/2], []byte(strings.Repeat("\x12\x00", 60_000)),
		[]byte(strings.Repeat("\x08\x01", 100)),
	}
	for _, topic := range topics {
		for _, p := range payloads {
			enemy.Send(edgetest.Message{Topic: topic, Payload: p})
		}
	}
	broker.Publish("spBv1.0/line1/NBIRTH/retained", "x", true)
	send(c, 20, 1)
	deliver(c, 21, 1)
	wantExact(t, dsn, c.Node, 21, 1)
	if got := r.metric(`andon_intake_dropped_total{reason="undecodable"}`); got == "0" {
		t.Error("nothing was counted as undecodable")
	}
	r.waitReady()
}

// TestForgedDataOfAnotherNode: a node may only say what fits the births of the node
// that it claims to be.
func TestForgedIdentityIsNotStored(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	send(c, 1, 1)
	c.WaitAcked(1)
	forged := *c.Node
	forged.Session = 99
	c.Send(forged.DataAt(1, record(c.Node, 1, 1), false))
	eventually(t, "drop", func() bool { return r.metric(`andon_intake_dropped_total{reason="wrong_session"}`) == "1" })
	wantExact(t, dsn, c.Node, 1, 1)
}

// TestTheRecordBehindAForgedMessage: a message that takes a record's position and cannot
// be decoded is quarantined and acknowledged; the record is stored all the same, whether it
// comes at once or is sent again later.
func TestTheRecordBehindAForgedMessage(t *testing.T) {
	const records, rows = 6, 2
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	enemy := edgetest.Dial(t, broker.URL(), newNode("enemy"))
	c.WaitSync()
	for p := range uint64(records) {
		good := c.Node.Data(record(c.Node, p, rows))
		enemy.Send(edgetest.Message{Topic: good.Topic, Payload: good.Payload[:len(good.Payload)/2]})
		if p%2 == 0 {
			c.WaitAcked(p + 1)
			if got := query(t, dsn, `SELECT position FROM quarantine`); len(got) != 1 || got[0] != fmtUint(p) {
				t.Fatalf("in quarantine: %v, want %d", got, p)
			}
			good = c.Node.DataAt(p, record(c.Node, p, rows), true)
		}
		c.Send(good)
		eventually(t, "readings of position "+fmtUint(p), func() bool {
			return len(query(t, dsn, `SELECT 1 FROM reading_dyno WHERE position = $1`, int64(p))) == rows
		})
	}
	wantExact(t, dsn, c.Node, records, rows)
	eventually(t, "each forged message, and nothing in quarantine", func() bool {
		got := query(t, dsn, `SELECT repeats, quarantined::text, (SELECT count(*) FROM quarantine) FROM ledger`)
		return len(got) == 1 && got[0] == "6 {} 0"
	})
	if got := query(t, dsn, `SELECT readings, expected FROM unit_run`); len(got) != 1 || got[0] != "12 12" {
		t.Errorf("run: %v", got)
	}
}

func TestQueueFullDropsAndShrinksTheCredit(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn, func(c *collector.Config) { c.Intake.Queue = 1 << 20 })
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	c.WaitSync()
	c.Until("credit", func() bool { a := c.LastAck(); return a != nil && a.Credit.Records > 1000 })
	// The table is locked: nothing is committed.
	release := lock(t, dsn, "ledger")
	send(c, 66, 50) // of about 12 KiB each: four fifths of a queue of 1 MiB
	c.Until("credit of one record", func() bool { return c.LastAck().Credit.Records == 1 })
	send(c, 54, 50)
	eventually(t, "drops", func() bool { return r.metric(`andon_intake_dropped_total{reason="queue_full"}`) != "0" })
	if got := c.Acked(); !got.Empty() {
		t.Fatalf("acknowledged %v before the commit", got)
	}
	release()
	deliver(c, 120, 50)
	wantExact(t, dsn, c.Node, 120, 50)
	c.Until("credit", func() bool { return c.LastAck().Credit.Records > 1000 })
	eventually(t, "an empty queue", func() bool { return r.metric("andon_intake_queue_bytes") == "0" })
}
