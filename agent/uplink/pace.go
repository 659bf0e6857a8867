package uplink

import "time"

const (
	// paceBurst is how much may go out at once after a silence, in time at the rate.
	paceBurst = 100 * time.Millisecond
	// packetBytes is what a message takes on the wire beside topic and payload: MQTT, TLS,
	// TCP and IP.
	packetBytes = 120
	// leastShare is what the backlog has at least of a rate that live records could fill.
	leastShare = 0.05
)

// pace spaces messages out, so that a thin link keeps room for others. It outlives
// sessions. The zero pace knows no limit.
type pace struct {
	rate int64     // bytes a second
	from time.Time // nothing more before
	owed float64   // bytes that the backlog has let live records go before
}

// ready reports whether a record may be sent.
func (p *pace) ready(now time.Time) bool { return p.rate == 0 || !now.Before(p.from) }

// spend notes a message, whatever it is: births and heartbeats wait for nobody, and are paid
// for by the records behind them.
func (p *pace) spend(now time.Time, topic, payload int) {
	if p.rate == 0 {
		return
	}
	if earliest := now.Add(-paceBurst); p.from.Before(earliest) {
		p.from = earliest
	}
	bytes := float64(topic + payload + packetBytes)
	p.from = p.from.Add(time.Duration(bytes / float64(p.rate) * float64(time.Second)))
}

// passedOver notes that a live record of so many bytes went before the backlog.
func (p *pace) passedOver(bytes int) {
	if p.rate > 0 {
		p.owed += float64(bytes) * leastShare / (1 - leastShare)
	}
}

// owes reports whether the backlog is due before live records, with a record of so many
// bytes.
func (p *pace) owes(bytes int) bool { return p.rate > 0 && p.owed >= float64(bytes) }

// paid notes a record of the backlog.
func (p *pace) paid(bytes int) { p.owed = max(p.owed-float64(bytes), 0) }
