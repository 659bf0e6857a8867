// Package siege besieges a broker: it has attackers of many kinds, and honest cells whose
// messages are timed meanwhile.
//
// It stands beside the flow: the broker's tests attack with it in passing, the lab's
// benchmark with a stopwatch. It speaks bytes and not through an MQTT library, since it
// must be able to say what no library would. Attackers are paced: they share the machine
// with the broker, and an attacker that takes all of its processors proves nothing.
package siege
