// Package alarm is the life of an alarm after ISA-18.2: what it is about, how its
// condition, acknowledgement and data quality stand, and the events that change them.
//
// The sentinel's transitions and the operator's actions become events; [Alarm.Apply]
// is the only thing that changes an alarm. It is pure and says the same at the edge,
// in the collector and after a restart: an alarm is its events, applied in the order of
// their sequence, and an event that comes twice changes nothing.
package alarm
