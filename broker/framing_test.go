package broker_test

import (
	"fmt"
	"slices"
	"testing"

	"andon.internal/broker"
)

// Wherever the network cuts what a client sends, its packets are found in it.
func TestFraming(t *testing.T) {
	sizes := []int{0, 1, 127, 128, 0, 16383, 16384, 70000}
	var all []byte
	for _, n := range sizes {
		all = append(all, packet(0x30, make([]byte, n))...)
	}
	for _, step := range []int{1, 2, 3, 7, 1000, 16384, len(all)} {
		var got []int
		open := 0
		feed := broker.Framing(func(n int) { got = append(got, n); open++ }, func() { open-- })
		for rest := all; len(rest) > 0; {
			n := min(step, len(rest))
			feed(rest[:n])
			rest = rest[n:]
		}
		if !slices.Equal(got, sizes) || open != 0 {
			t.Errorf("in steps of %d: packets of %v, %d open", step, got, open)
		}
	}
	feed := broker.Framing(func(n int) { t.Errorf("a packet of %d bytes in what is none", n) }, func() {})
	feed([]byte{0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0})
}

// A packet that the library refuses for its size takes nobody's room.
func TestNobodyMakesRoomForWhatIsRefused(t *testing.T) {
	const size = 400 << 10
	b := start(t, func(c *broker.Config) { c.Limits.ReceiveBytes = 1 << 20 })
	half := publish("a", make([]byte, size))
	honest := b.session(4, "honest")
	honest.send(half[:100])
	eventually(t, "it is booked", func() bool { return b.metric("receiving_bytes") == float64(len(half)-4) })
	hostile := b.session(4, "hostile")
	hostile.send([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})
	hostile.ended()
	honest.send(half[100:], []byte{0xc0, 0})
	honest.expect(0xd0)
	if n := b.metric("broken_sessions_total", "receive_bytes"); n != 0 {
		t.Errorf("%v sessions were ended to make room", n)
	}
}

// Packets that begin and do not end make room for others, the oldest first.
func TestHalfPacketsAreBounded(t *testing.T) {
	const size = 400 << 10
	b := start(t, func(c *broker.Config) { c.Limits.ReceiveBytes = 1 << 20 }) // two of them
	half := publish("a", make([]byte, size))
	var open []*raw
	for i := range 3 {
		c := b.session(4, fmt.Sprint("half-", i))
		c.send(half[:100])
		open = append(open, c)
		want := float64(min(i+1, 2) * (len(half) - 4))
		eventually(t, "it is booked", func() bool { return b.metric("receiving_bytes") == want })
	}
	open[0].ended()
	eventually(t, "it is counted", func() bool { return b.metric("broken_sessions_total", "receive_bytes") == 1 })
	wait(t, b.client("honest", nil).Publish("a", 1, false, make([]byte, size))) // ends the second
	open[1].ended()
	open[2].send(half[100:], []byte{0xc0, 0}) // goes on, and is done
	open[2].expect(0xd0)
	if n := b.metric("receiving_bytes"); n != 0 {
		t.Errorf("%v bytes are booked behind the last packet", n)
	}
	began := b.session(4, "leaves")
	began.send(half[:100])
	eventually(t, "it is booked", func() bool { return b.metric("receiving_bytes") > 0 })
	_ = began.Close()
	eventually(t, "who leaves takes nothing along", func() bool { return b.metric("receiving_bytes") == 0 })
}
