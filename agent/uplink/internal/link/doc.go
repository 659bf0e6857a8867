// Package link is one MQTT connection of a cell, from dialling to the last packet.
//
// It stands at the right end of the agent, between a session of the uplink and the
// broker, and it is the only package that knows the MQTT library. A Link is used for
// one connection and thrown away: it never reconnects, because the will names the
// session. It promises that no call blocks on the network for longer than it says,
// that a connection which makes no progress is broken off, and that nothing is
// sent after [Link.Drop] or [Link.Close] has returned.
package link
