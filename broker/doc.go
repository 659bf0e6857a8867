// Package broker is Andon's MQTT broker: mochi-mqtt behind a listener, limits and
// rules of our own.
//
// It stands between the cells and the collector. It keeps nothing on disk and owes
// nobody a reading: a message that it drops is sent again by the cell that still
// holds it. What it promises is to stay up and to stay bounded, whatever connects:
//
//   - the first packet has a size limit and a deadline, connections are counted in
//     all, by address, by identity and while they have no session, and an Accept error
//     never ends the listener;
//   - TLS handshakes are computed by half of the processors, and a session ends with the
//     certificate that opened it;
//   - what one identity sends is read at a bounded rate;
//   - a client that falls silent is dropped within 1.5 keepalives of at most 60 s,
//     and one that does not read within the write timeout, so that it holds up
//     nobody else;
//   - what waits for a slow reader is bounded in messages and in bytes; what is
//     dropped beyond is counted and told;
//   - sessions end with their connection; retained messages, subscriptions, topics
//     and wills are bounded;
//   - a packet that makes the MQTT library panic ends its own connection only.
//
// Every MQTT 3.1.1 or 5 client can use it. Shared subscriptions are refused, since
// they tear Sparkplug's sequence apart; a subscription that spans several nodes, and
// any of an MQTT 5 client, is granted QoS 0. With TLS every client shows a certificate, and
// may do what package access says; without, everybody may do everything.
//
// Helpers of tests and of its end apart, no other package knows mochi: any MQTT broker can take this one's place.
package broker
