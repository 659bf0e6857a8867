package uplink_test

import (
	"testing"

	"andon.internal/shared/ops/opstest"
	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
	"github.com/mochi-mqtt/server/v2/packets"
)

// hand writes a message to every cell's connection, whatever it has subscribed: what a
// broker could do that obeys somebody else.
func (b *broker) hand(topic string, payload []byte, retained bool) {
	b.t.Helper()
	for id, cl := range b.server.Clients.GetAll() {
		if id == "collector" || cl.Net.Inline {
			continue
		}
		pk := packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Publish, Retain: retained},
			TopicName:   topic, Payload: payload,
		}
		if err := cl.WritePacket(pk); err != nil {
			b.t.Fatal(err)
		}
	}
}

// An acknowledgement deletes readings. One that is not meant for what this session has
// sent deletes nothing, and is told.
func TestEveryRefusalIsCounted(t *testing.T) {
	b, plant, _, cell := plant(t)
	reg := cell.reg
	cell.cfg.PrimaryHost = "andon"
	cell.birth("press-1", press)
	epoch := telemetry.Epoch(cell.buf.Epoch())
	ack := func(e telemetry.Epoch, from, to uint64) sparkplug.Ack {
		return sparkplug.Ack{
			Epochs: []sparkplug.EpochRanges{{Epoch: e, Committed: ranges.Of(ranges.Range{From: from, To: to})}},
			Credit: sparkplug.Credit{Records: 64, Bytes: 1 << 20},
		}
	}
	command := func(a sparkplug.Ack) []byte { return sparkplug.AppendAck(nil, 1, a) }
	topic := func(kind sparkplug.MessageType, node, unit string) string {
		return sparkplug.Topic{Type: kind, Group: group, Node: node, Device: unit}.String()
	}
	cell.start()
	cell.readings("press-1", 2)
	held := uint64(2)
	refused := func(what, family, label string, send func()) {
		t.Helper()
		before := opstest.Metric(t, reg, family, label)
		send()
		eventually(t, what+" is counted as "+label, func() bool { return opstest.Metric(t, reg, family, label) > before })
		if n := cell.buf.Stats().Records; n != held {
			t.Fatalf("%s: %d records are held, want %d", what, n, held)
		}
	}
	const refusals, answers = "andon_uplink_refused_messages_total", "andon_uplink_acknowledgements_total"

	eventually(t, "the node waits for its host", func() bool { return cell.up.Status().Waiting })
	refused("an acknowledgement before the birth", refusals, "early", func() { plant.say(ack(epoch, 0, 2)) })

	state := sparkplug.State{Online: true, Timestamp: 1000}.Append(nil)
	plant.client.Publish("spBv1.0/STATE/andon", 1, true, state).WaitTimeout(patience)
	cell.drained(plant)
	plant.set(func(p *policy) { p.mute = true })
	cell.readings("press-1", 3)
	held = 3
	eventually(t, "they are sent", func() bool { return plant.count(isRecord) >= 5 })

	refused("a replayed one", answers, "repeated", func() { plant.say(ack(epoch, 0, 2)) })
	refused("one of positions never sent", answers, "unsent", func() { plant.say(ack(epoch, 5, 900)) })
	refused("one of an epoch that never was", answers, "unknown", func() { plant.say(ack(telemetry.Epoch{1, 2, 3}, 0, 5)) })
	refused("an answer to another session's birth", answers, "unasked", func() {
		a := ack(epoch, 0, 1)
		a.Sync = &sparkplug.SyncPart{Session: 99, Part: 1, Of: 1}
		plant.say(a)
	})
	good := command(ack(epoch, 0, 5))
	refused("a retained one", refusals, "retained", func() { b.hand(topic(sparkplug.NCmd, node, ""), good, true) })
	refused("another node's", refusals, "foreign", func() { b.hand(topic(sparkplug.NCmd, "cell-08", ""), good, false) })
	refused("a unit's", refusals, "foreign", func() { b.hand(topic(sparkplug.DCmd, node, "press-1"), good, false) })
	refused("one that is cut off", refusals, "malformed", func() { plant.command(good[:len(good)-3]) })
	refused("no payload", refusals, "malformed", func() { b.hand("spBv1.0/STATE/other", []byte("{"), false) })

	plant.set(func(p *policy) { p.mute = false })
	cell.drained(plant)
	if n := opstest.Metric(t, reg, answers, "applied"); n == 0 {
		t.Error("acknowledgements that were obeyed are not counted")
	}
}
