// Package presence is how the roles of a collector know of each other when each runs in
// a process of its own: every process says every two seconds over MQTT which roles it
// does and what keeps it from doing one, and who wants to know listens.
//
// It stands beside the roles, between them and the broker. It promises that a role whose
// process is killed, hangs or is cut off from the broker is told to be silent within
// [Lapse], because its messages take the way that its work takes; that a role which
// cannot work says why; and that nobody is told to be silent while the listener itself
// hears nothing.
package presence

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"andon.internal/shared/topics"
)

const (
	// Filter is what a listener subscribes. The payloads are JSON, sent with QoS 0 and
	// not retained.
	Filter = topics.Roles

	// Every is how often a role says that it is there.
	Every = 2 * time.Second
	// Lapse is after what time without a word it counts as silent.
	Lapse = 7 * time.Second

	maxPayload = 4 << 10
	maxFault   = 300 // bytes
)

// message is what a process says of one of its roles.
type message struct {
	Fault string `json:"fault"` // why it cannot do it; empty: it does
}

func topicOf(role string) string { return topics.Role + role }

// payloadOf is the message of a role with a fault, or nil.
func payloadOf(fault error) []byte {
	m := message{}
	if fault != nil {
		m.Fault = clip(fault.Error())
	}
	b, _ := json.Marshal(m) // a string always has its JSON
	return b
}

// parse reads a message; ok is false for one that is none.
func parse(topic string, payload []byte) (role string, m message, ok bool) {
	role, ok = strings.CutPrefix(topic, topics.Role)
	if !ok || len(payload) > maxPayload || json.Unmarshal(payload, &m) != nil {
		return "", message{}, false
	}
	m.Fault = clip(m.Fault)
	return role, m, true
}

func clip(s string) string {
	if len(s) <= maxFault {
		return strings.ToValidUTF8(s, "?")
	}
	for n := maxFault; ; n-- {
		if utf8.RuneStart(s[n]) {
			return strings.ToValidUTF8(s[:n], "?") + "..."
		}
	}
}

// Role is a role that this process does.
type Role struct {
	Name string
	// Alive returns nil, or that the role no longer turns: then nothing is said of it.
	Alive func() error
	// Fault returns nil, or what keeps it from its work.
	Fault func() error
}

// Say publishes once that the roles are there. A message that is lost is followed by
// the next.
func Say(roles []Role, publish func(topic string, payload []byte) error) {
	for _, r := range roles {
		if r.Alive() == nil {
			_ = publish(topicOf(r.Name), payloadOf(r.Fault())) // without a broker nobody listens
		}
	}
}
