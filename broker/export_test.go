package broker

import (
	"net"
	"time"
)

// SetListen replaces net.Listen, to inject faults of the network.
func (b *Broker) SetListen(listen func(network, address string) (net.Listener, error)) {
	b.listen = listen
}

// SpansNodes is the rule that grants QoS 0.
var SpansNodes = spansNodes

// Framing returns the feed of a framing.
func Framing(begin func(int), end func()) func([]byte) {
	f := &framing{}
	return func(p []byte) { f.feed(p, begin, end) }
}

// Handshakes returns a function that puts a connection into its handshake, of which two
// are never computed at a time, and one that ends it.
func Handshakes() func(c net.Conn, until time.Time) (read func([]byte) (int, error), end func()) {
	all := make(turns, 1)
	return func(c net.Conn, until time.Time) (func([]byte) (int, error), func()) {
		h := &handshake{Conn: c, turns: all, until: until}
		return h.Read, h.end
	}
}
