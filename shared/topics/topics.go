// Package topics names the MQTT topics beside Sparkplug's by which the plant's own
// processes meet. Whoever says what on them is not its matter; see shared/alarm and
// collector/presence. The broker's access rules know them too.
package topics

// The topics, as what is before their variable levels. Nothing on them is retained.
const (
	Alarm = "andon/alarm/" // andon/alarm/GROUP/ID: the state of an alarm
	Ack   = "andon/ack/"   // andon/ack/ID: an alarm was seen by somebody
	Role  = "andon/role/"  // andon/role/ROLE: a role of a collector is there
)

// The filters that take in all of each.
const (
	Alarms = Alarm + "+/+"
	Acks   = Ack + "+"
	Roles  = Role + "+"
)

// All takes in everything of these.
const All = "andon/#"
