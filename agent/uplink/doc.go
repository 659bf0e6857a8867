// Package uplink carries records from the buffer to PostgreSQL and learns that they
// have arrived: it publishes them as Sparkplug B over MQTT, takes the collector's
// acknowledgements, and tells the buffer what may be deleted.
//
// It stands at the right end of the agent. It reads the buffer in two lanes, live
// and backlog, and announces units from the roster. What it promises:
//
//   - A record is deleted only when the collector has acknowledged it, and this
//     process, or an earlier one whose records the buffer still holds, has sent it.
//   - Everything the buffer holds is sent again until then, whatever the network, the
//     broker or the collector do. A record that breaks every attempt only waits
//     longer, it is never given up.
//   - A fresh record waits for credit and for one message of the backlog, and where the
//     window is too small for both for one round trip of it. While fresh ones come backlog
//     has at most its share of the window, by default half, or one record.
//   - Memory is bounded by the collector's credit: a record's data stays in the
//     buffer while it is in flight.
//   - Nothing that the network does blocks [Uplink.Run] from ending in time.
//
// One goroutine runs a session; nothing here is shared with others but the status.
package uplink
