package broker

import "net"

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
