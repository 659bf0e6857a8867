package broker_test

import (
	"testing"
	"time"

	"andon.internal/broker"
)

func TestSpansNodes(t *testing.T) {
	for filter, want := range map[string]bool{
		"#": true, "+": true, "spBv1.0/#": true, "+/line1/NDATA/cell-01": true,
		"spBv1.0/line1/+/cell-01/#": true, "spBv1.0/line1/NDATA/+": true, "spBv1.0/STATE/+": true,
		"spBv1.0/line1/NCMD/cell-01": false, "spBv1.0/line1/DCMD/cell-01/+": false,
		"spBv1.0/line1/NCMD/cell-01/#": false, "spBv1.0/STATE/andon": false, "": false,
	} {
		if got := broker.SpansNodes(filter); got != want {
			t.Errorf("%q: %v", filter, got)
		}
	}
}

// FuzzConnection sends what it likes, as a stranger and as a client of either
// protocol version. Whatever comes, others are served.
func FuzzConnection(f *testing.F) {
	f.Add(byte(0), connect(4, "a", 30, "will"))
	f.Add(byte(4), publish("a/b", []byte("x")))
	f.Add(byte(4), subscribe(4, "a/#", 2))
	f.Add(byte(5), subscribe(5, "a/b", 1))
	f.Add(byte(5), packet(0x82, []byte{0, 1}, []byte{0}, text("a/b"))) // no options
	f.Add(byte(5), packet(0x34, text("a"), []byte{0, 1}, []byte{0}, []byte("x")))
	f.Add(byte(4), packet(0x62, []byte{0, 1}))
	f.Add(byte(5), packet(0xa2, []byte{0, 1}, []byte{0}, text("a/b")))
	f.Add(byte(5), packet(0xe0, []byte{4, 5, 0x11, 0, 0, 0, 1}))
	f.Add(byte(5), packet(0xf0, []byte{0}))
	b := start(f, nil)
	good := b.session(4, "good")
	good.send(subscribe(4, "good", 0))
	good.expect(0x90)
	f.Fuzz(func(t *testing.T, version byte, data []byte) {
		r := *b
		r.t = t
		c := r.dial()
		if version == 4 || version == 5 {
			c.send(connect(version, "fuzz", 30, "spBv1.0/line1/NDEATH/cell-01"))
			c.expect(0x20)
		}
		if _, err := c.Write(data); err == nil {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, _ = c.Read(make([]byte, 4096)) // whatever it says
		}
		_ = c.Close()
		g := raw{good.Conn, t, good.r}
		g.send([]byte{0xc0, 0}) // PINGREQ
		g.expect(0xd0)
	})
}
