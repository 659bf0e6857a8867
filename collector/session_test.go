package collector_test

import (
	"testing"
	"time"

	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
)

func TestWhatDoesNotMatchTheBirthsIsAskedFor(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(c *edgetest.Client)
		drop  string
	}{
		{"another session", func(c *edgetest.Client) { c.Node.Session++ }, "wrong_session"},
		{"another profile", func(c *edgetest.Client) {
			p := *c.Node.Profile
			p.Signals = p.Signals[:len(p.Signals)-1]
			c.Node.Profile = &p
		}, "unknown_layout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			broker, dsn := edgetest.StartBroker(t), newDatabase(t)
			r := start(t, broker, dsn)
			r.waitReady()
			c := dial(t, broker, newNode("cell"))
			send(c, 5, 1)
			c.WaitAcked(5)
			asked := c.Rebirths()
			tt.spoil(c)
			send(c, 5, 1)
			c.WaitRebirth(asked)
			if got := c.Acked().String(); got != "[0,5)" {
				t.Errorf("acknowledged %s", got)
			}
			if got := r.metric(`andon_intake_dropped_total{reason="` + tt.drop + `"}`); got == "0" {
				t.Error("the drops were not counted")
			}
			births(c)
			deliver(c, 10, 1)
			if got := query(t, dsn, `SELECT count(*) FROM reading_dyno`); got[0] != "10" {
				t.Errorf("%s readings", got[0])
			}
		})
	}
}

// TestCrashOfTheCell: what the old epoch no longer holds, and was seen to have used,
// is lost, and said to be.
func TestCrashOfTheCell(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	start(t, broker, dsn).waitReady()
	c := dial(t, broker, newNode("cell"))
	send(c, 3, 1)
	c.Node.Next = 5 // two records were never sent and never reached the disk
	send(c, 1, 1)
	c.Until("acknowledgement", func() bool { return c.Acked().Contains(5) })
	old := c.Node.Epoch
	c.Node.Held = ranges.Set{}
	c.Node.Restart(false)
	c.Reconnect(broker.URL())
	births(c)
	c.WaitSync()
	send(c, 2, 1)
	c.WaitAcked(2)
	eventually(t, "the loss", func() bool { return len(query(t, dsn, `SELECT 1 FROM loss`)) > 0 })
	got := query(t, dsn, `SELECT lost::text, committed::text FROM ledger JOIN epoch USING (epoch_key) WHERE epoch_id = $1`, old.String())
	if len(got) != 1 || got[0] != "{[3,5)} {[0,3),[5,6)}" {
		t.Errorf("ledger of the old epoch: %v", got)
	}
	if got := c.AckedOf(old).String(); got != "[0,3)[5,6)" {
		t.Errorf("told of the old epoch: %s", got)
	}
}

func TestDeaths(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	c.WaitSync()
	up := func() string { return r.metric(`andon_intake_node_up{group="line1",node="cell"}`) }
	old := c.Node.Death()
	c.Reconnect(broker.URL())
	births(c)
	c.WaitSync()
	c.Send(old) // the will of the connection before
	send(c, 1, 1)
	c.WaitAcked(1)
	if up() != "1" {
		t.Error("an old death ended the new session")
	}
	c.Send(c.Node.Death())
	eventually(t, "death", func() bool { return up() == "0" })
	n := len(c.Acks())
	time.Sleep(1500 * time.Millisecond) // that nothing comes can only be waited for
	if got := len(c.Acks()); got != n {
		t.Errorf("%d acknowledgements to a dead node", got-n)
	}
}

func TestIdleNodeHearsTheDatabaseAndItsCredit(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	start(t, broker, dsn).waitReady()
	c := dial(t, broker, newNode("cell"))
	c.WaitSync()
	c.Forget()
	began := time.Now()
	var sent []time.Time
	c.Until("three acknowledgements", func() bool { sent = acksSince(t, broker, began); return len(c.Acks()) >= 3 && len(sent) >= 3 })
	if took := sent[2].Sub(began); took < time.Second {
		t.Errorf("three acknowledgements to an idle node within %v", took)
	}
}

// acksSince returns when the collectors sent acknowledgements, by what they say in them.
func acksSince(t *testing.T, broker *edgetest.Broker, began time.Time) (sent []time.Time) {
	t.Helper()
	for _, packet := range broker.Packets("andon-host-") {
		if packet.Kind != "PUBLISH" || !contains(packet.Topic, "/NCMD/") {
			continue
		}
		p, err := sparkplug.Decode(packet.Payload, sparkplug.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		cmd, err := sparkplug.ParseCommand(p)
		if err != nil {
			t.Fatal(err)
		}
		if at := time.UnixMilli(int64(p.Timestamp)); cmd.Ack != nil && at.After(began) {
			sent = append(sent, at)
		}
	}
	return sent
}

func TestForeignNodesAreCountedAndLeftAlone(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	n := newNode("pump")
	c := edgetest.Dial(t, broker.URL(), n)
	p := sparkplug.Payload{Timestamp: 1, HasTimestamp: true, HasSeq: true, Metrics: []sparkplug.Metric{
		{Name: "bdSeq", DataType: sparkplug.Int64, Value: sparkplug.LongValue(1)},
		{Name: "Speed", Alias: 1, HasAlias: true, DataType: sparkplug.Double, Value: sparkplug.DoubleValue(1)},
	}}
	for _, topic := range []string{"NBIRTH/pump", "DBIRTH/pump/motor", "DDATA/pump/motor", "DDATA/pump/motor"} {
		c.Send(edgetest.Message{Topic: "spBv1.0/" + group + "/" + topic, Payload: p.Append(nil)})
	}
	eventually(t, "four messages", func() bool { return r.metric("andon_intake_foreign_messages_total") == "4" })
	if got := r.metric(`andon_intake_node_messages_total{group="line1",kind="foreign",node="pump"}`); got != "4" {
		t.Errorf("%s messages of the node", got)
	}
	if c.Rebirths() != 0 || len(c.Acks()) != 0 {
		t.Error("a foreign node was spoken to")
	}
}

func TestStateIsPublishedAndPutRight(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	const topic = "spBv1.0/STATE/andon"
	state := func(want bool) func() bool {
		return func() bool {
			text, ok := broker.Retained(topic)
			s, err := sparkplug.ParseState([]byte(text))
			return ok && err == nil && s.Online == want
		}
	}
	r := start(t, broker, dsn)
	r.waitReady()
	if !state(true)() {
		t.Fatal("ready, but STATE is not online")
	}
	broker.Publish(topic, `{"online":false,"timestamp":1}`, true)
	eventually(t, "STATE put right", state(true))
	// With a newer time cells would believe the offline: only a new birth helps.
	broker.Publish(topic, string(sparkplug.State{Timestamp: time.Now().Add(50 * time.Millisecond).UnixMilli()}.Append(nil)), true)
	eventually(t, "STATE put right against a newer one", state(true))
	r.waitReady()
	r.stop()
	if !state(false)() {
		t.Error("a clean stop leaves STATE online")
	}
}
