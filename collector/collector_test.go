package collector_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

func TestRecordsAreStoredAndThenAcknowledged(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	c.WaitSync()
	send(c, 50, 3)
	c.WaitAcked(50)
	wantExact(t, dsn, c.Node, 50, 3)
	if a := c.LastAck(); a.DB != sparkplug.DBOK || a.Credit.Records < 1 || a.Credit.Bytes < 1 {
		t.Errorf("the last acknowledgement is %v", a)
	}
	if got := query(t, dsn, `SELECT unit_id, readings, died IS NULL FROM unit_run JOIN unit USING (unit_key)`); len(got) != 1 || got[0] != "unit-1 150 true" {
		t.Errorf("runs: %v", got)
	}
}

func TestUnitWithoutDataIsOnTest(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	start(t, broker, dsn).waitReady()
	c := dial(t, broker, newNode("cell"))
	c.Send(c.Node.UnitBirth("ended", born, true)) // only its records are still to come
	c.WaitSync()
	eventually(t, "the run", func() bool {
		return len(query(t, dsn, `SELECT 1 FROM unit_run`)) > 0
	})
	if got := query(t, dsn, `SELECT unit_id, readings FROM unit_run JOIN unit USING (unit_key)`); len(got) != 1 || got[0] != "unit-1 0" {
		t.Errorf("runs: %v", got)
	}
}

func TestEndOfRun(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	start(t, broker, dsn).waitReady()
	c := dial(t, broker, newNode("cell"))
	send(c, 1, 2)
	end := &telemetry.Record{
		Unit: unit, Profile: c.Node.Profile, Born: born, Count: 2,
		End: &telemetry.End{Time: born + 60e9, Reason: "finished"},
	}
	c.Send(c.Node.Data(end))
	c.WaitAcked(2)
	c.Send(c.Node.UnitDeath(unit))
	if got := query(t, dsn, `SELECT readings, died IS NOT NULL, reason FROM unit_run`); len(got) != 1 || got[0] != "2 true finished" {
		t.Errorf("run: %v", got)
	}
}

func TestRepeatsAreStoredOnce(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	start(t, broker, dsn).waitReady()
	c := dial(t, broker, newNode("cell"))
	send(c, 20, 2)
	c.WaitAcked(20)
	c.Forget()
	resend(c, 2) // every acknowledgement is taken for lost
	resend(c, 2)
	c.WaitAcked(20)
	wantExact(t, dsn, c.Node, 20, 2)
}

// TestMovedRecordsAreStoredOnce: a machine is put back to an earlier state. What it holds,
// and its other life had sent, comes under new names.
func TestMovedRecordsAreStoredOnce(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	send(c, 5, 2) // of which the machine, as it was, holds those from the third on
	c.WaitAcked(5)
	first := c.Node.Epoch
	c.Node.Restart(true)
	births(c)
	c.WaitSync()
	for p := range uint64(3) {
		c.Send(c.Node.Moved(record(c.Node, 2+p, 2)))
	}
	c.Send(c.Node.Moved(record(c.Node, 5, 2))) // the other life did not send it
	c.Send(c.Node.Data(record(c.Node, 6, 2)))  // taken since
	c.WaitAcked(5)
	got := query(t, dsn, `SELECT epoch_id, position, count(*) FROM reading_dyno JOIN epoch USING (epoch_key) GROUP BY 1, 2 ORDER BY 1, 2`)
	var want []string
	for p := range 5 {
		want = append(want, fmt.Sprint(first, p, 2))
	}
	want = append(want, fmt.Sprint(c.Node.Epoch, 3, 2), fmt.Sprint(c.Node.Epoch, 4, 2))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("stored are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := query(t, dsn, `SELECT readings, expected FROM unit_run`); len(got) != 1 || got[0] != "14 14" {
		t.Errorf("the run has %v readings of those expected, want 14 of 14", got)
	}
	if got := r.metric("andon_store_moved_repeats_total"); got != "6" {
		t.Errorf("%s readings were recognised, want 6", got)
	}
}

func TestLostAcknowledgementsAreHealed(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	c.WaitSync()
	broker.Lose(edgetest.LoseCommands)
	send(c, 20, 1)
	eventually(t, "commit", func() bool { return r.metric("andon_intake_rows_total") == "20" })
	if got := c.Acked(); !got.Empty() {
		t.Fatalf("acknowledged %v although commands are lost", got)
	}
	broker.Lose(nil)
	c.WaitAcked(20) // nothing was sent again
	wantExact(t, dsn, c.Node, 20, 1)
}

// TestSyncHealsWhatNobodyRepeats: acknowledgements lost for longer than they are
// repeated come back with the next birth.
func TestSyncHealsWhatNobodyRepeats(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	send(c, 20, 1)
	c.WaitAcked(20)
	r.stop()
	r = start(t, broker, dsn) // knows nothing of them
	r.waitReady()
	c.Forget()
	c.Reconnect(broker.URL())
	births(c)
	c.WaitSync()
	if got := c.Acked().String(); got != "[0,20)" {
		t.Errorf("the sync says %s", got)
	}
}

func TestCollectorRestartsInMidstream(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	send(c, 20, 2)
	r.stop()
	send(c, 20, 2) // into nothing
	r = start(t, broker, dsn)
	r.waitReady()
	send(c, 20, 2) // of a node that this collector does not know
	deliver(c, 60, 2)
	if c.Rebirths() == 0 {
		t.Error("no births were asked for")
	}
	wantExact(t, dsn, c.Node, 60, 2)
}

func TestPoisonIsQuarantinedAndAcknowledged(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	start(t, broker, dsn).waitReady()
	c := dial(t, broker, newNode("cell"))
	whole := c.Node.Data(record(c.Node, 0, 2))
	p, err := sparkplug.Decode(whole.Payload, sparkplug.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	p.Metrics = p.Metrics[:len(p.Metrics)-1]
	c.Send(edgetest.Message{Topic: whole.Topic, Payload: p.Append(nil)})
	send(c, 3, 2) // what is behind it is not held up
	c.WaitAcked(4)
	got := query(t, dsn, `SELECT position, length(payload) > 100, reason <> '' FROM quarantine`)
	if len(got) != 1 || got[0] != "0 true true" {
		t.Errorf("quarantine: %v", got)
	}
	if got := query(t, dsn, `SELECT committed::text, quarantined::text FROM ledger`); len(got) != 1 || got[0] != "{[1,4)} {[0,1)}" {
		t.Errorf("ledger: %v", got)
	}
}

// TestProfileThatIsNotInstalled: an edge box cannot make the collector create
// tables; its readings are kept aside, and it is not held up.
func TestProfileThatIsNotInstalled(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	start(t, broker, dsn).waitReady()
	n := newNode("cell")
	n.Profile = edgetest.Dyno()
	c := dial(t, broker, n)
	send(c, 2, 3)
	c.WaitAcked(2)
	if got := query(t, dsn, `SELECT to_regclass('reading_bench') IS NULL, (SELECT quarantined::text FROM ledger)`); got[0] != "true {[0,2)}" {
		t.Errorf("got %v", got)
	}
}

func TestLossIsStoredAndAcknowledged(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	start(t, broker, dsn).waitReady()
	c := dial(t, broker, newNode("cell"))
	send(c, 1, 1)
	c.Node.Next = 4 // [1, 4) were dropped at the cell
	c.Send(c.Node.Loss(telemetry.Loss{Epoch: c.Node.Epoch, From: 1, To: 4, Reason: telemetry.LossOverflow, Units: []string{unit}, Readings: 7}))
	c.Until("acknowledgement of the loss", func() bool { return c.Acked().Contains(4) })
	got := query(t, dsn, `SELECT positions::text, reason, readings, (SELECT lost::text FROM ledger) FROM loss`)
	if len(got) != 1 || got[0] != "{[1,4)} overflow 7 {[1,4)}" {
		t.Errorf("loss: %v", got)
	}
}
