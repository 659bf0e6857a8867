package access

import (
	"errors"
	"fmt"
	"strings"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
	"andon.internal/shared/topics"
)

// Will is what a client leaves with the broker for the end of its connection.
type Will struct {
	Topic  string
	Retain bool
}

// Connect decides about a CONNECT and returns why it is refused, or nil. The client id of
// a node must lie in the node's own space, and that of others outside of all nodes', so
// that nobody can take over a cell's session.
func (i Identity) Connect(clientID string, will *Will) error {
	switch {
	case i.Role == "":
		return errors.New("nobody may connect")
	case i.Role == Node && !strings.HasPrefix(clientID, i.ClientPrefix()):
		return fmt.Errorf("the client id of %s must begin with %q", i, i.ClientPrefix())
	case (i.Role == Collector || i.Role == Viewer) && strings.Contains(clientID, "/"):
		return fmt.Errorf("the client id of %s must be without a slash: those with one are cells'", i)
	}
	switch {
	case will == nil:
		return nil
	case i.Role == Node && will.Topic != i.topic(sparkplug.NDeath):
		return fmt.Errorf("the will of %s must be its own NDEATH", i)
	case i.Role == Collector && !isState(will.Topic):
		return fmt.Errorf("the will of %s must be a STATE", i)
	case !i.MayPublish(will.Topic, will.Retain):
		return fmt.Errorf("%s may not leave such a will", i)
	}
	return nil
}

// ClientPrefix is what every client id of a node begins with, as shared/sparkplug has it;
// "" for others.
func (i Identity) ClientPrefix() string {
	if i.Role != Node {
		return ""
	}
	return sparkplug.ClientPrefix(i.Group, i.Name)
}

// MayPublish decides about a message. The topic may be anything; what is no valid topic
// is refused.
func (i Identity) MayPublish(topic string, retain bool) bool {
	if strings.ContainsAny(topic, "+#\x00") || strings.HasPrefix(topic, "$") {
		return false
	}
	switch i.Role {
	case Local:
		return topic != ""
	case Node:
		return !retain && i.ownData(topic)
	case Collector:
		if isState(topic) {
			return true
		}
		return !retain && (isCommand(topic) || isPlants(topic))
	}
	return false
}

// ownData reports whether a topic is one on which the node says something of itself or
// of a unit.
func (i Identity) ownData(topic string) bool {
	t, err := sparkplug.ParseTopic(topic)
	if err != nil || t.Group != i.Group || t.Node != i.Name {
		return false
	}
	switch t.Type {
	case sparkplug.NBirth, sparkplug.NData, sparkplug.NDeath:
		return true
	case sparkplug.DBirth, sparkplug.DData, sparkplug.DDeath:
		return telemetry.CheckID("unit", t.Device) == nil
	}
	return false
}

func isState(topic string) bool {
	t, err := sparkplug.ParseTopic(topic)
	return err == nil && t.Type == sparkplug.HostState && telemetry.CheckID("host", t.Host) == nil
}

func isCommand(topic string) bool {
	t, err := sparkplug.ParseTopic(topic)
	return err == nil && (t.Type == sparkplug.NCmd || t.Type == sparkplug.DCmd)
}

// isPlants reports whether a topic is one by which the collector's roles meet.
func isPlants(topic string) bool {
	if id, ok := strings.CutPrefix(topic, topics.Ack); ok {
		return telemetry.CheckID("alarm", id) == nil
	}
	if role, ok := strings.CutPrefix(topic, topics.Role); ok {
		return telemetry.CheckID("role", role) == nil
	}
	rest, ok := strings.CutPrefix(topic, topics.Alarm)
	group, id, two := strings.Cut(rest, "/")
	return ok && two && telemetry.CheckID("group", group) == nil && telemetry.CheckID("alarm", id) == nil
}

func (i Identity) topic(t sparkplug.MessageType) string {
	return sparkplug.Topic{Type: t, Group: i.Group, Node: i.Name}.String()
}

// reads returns the filters that the identity may read; a filter beneath one of them is
// granted too.
func (i Identity) reads() []string {
	switch i.Role {
	case Local:
		return []string{"#", "$SYS/#"}
	case Node:
		units := sparkplug.Topic{Type: sparkplug.DCmd, Group: i.Group, Node: i.Name, Device: "+"}.String()
		return []string{i.topic(sparkplug.NCmd), units, sparkplug.Topic{Type: sparkplug.HostState, Host: "+"}.String()}
	case Collector:
		return []string{sparkplug.Namespace + "/#", topics.All, "$SYS/#"}
	case Viewer:
		return []string{sparkplug.Namespace + "/#", topics.All}
	}
	return nil
}

// MayRead decides about a subscription, or about the delivery on one topic: every topic
// that filter can match must be allowed. qos is the highest that is granted.
func (i Identity) MayRead(filter string) (qos byte, ok bool) {
	for _, allowed := range i.reads() {
		if covers(allowed, filter) {
			if i.Role == Viewer {
				return 0, true // who only looks must not be able to hold anybody up
			}
			return 2, true
		}
	}
	return 0, false
}

// covers reports whether every topic that filter matches is matched by allowed (MQTT 5.0,
// 4.7). Both are filters; what is not well formed is not covered.
func covers(allowed, filter string) bool {
	if filter == "" || strings.ContainsRune(filter, 0) {
		return false
	}
	if (allowed[0] == '#' || allowed[0] == '+') && filter[0] == '$' {
		return false // wildcards at the beginning leave out topics of the broker's own
	}
	a, f := strings.Split(allowed, "/"), strings.Split(filter, "/")
	for n, level := range f {
		if !wellFormed(level, n == len(f)-1) {
			return false
		}
	}
	for n, level := range a {
		if level == "#" {
			return true // also the level above it: a/# matches a
		}
		if n >= len(f) || f[n] == "#" {
			return false
		}
		if level != "+" && level != f[n] {
			return false
		}
	}
	return len(f) == len(a)
}

// wellFormed reports whether a level of a filter has its wildcards where they may be.
func wellFormed(level string, last bool) bool {
	switch level {
	case "+":
		return true
	case "#":
		return last
	}
	return !strings.ContainsAny(level, "+#")
}
