package sparkplug

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Namespace is the first level of every Sparkplug B topic.
const Namespace = "spBv1.0"

// MaxID is the longest group, node, device or host id that [ParseTopic] takes, in
// bytes. Andon's own ids are shorter; other people's nodes are free up to here.
const MaxID = 256

// MessageType is the kind of a message, which is a level of its topic.
type MessageType uint8

// The message types.
const (
	NBirth MessageType = iota + 1
	NDeath
	DBirth
	DDeath
	NData
	DData
	NCmd
	DCmd
	HostState
)

var typeNames = [...]string{
	NBirth: "NBIRTH", NDeath: "NDEATH", DBirth: "DBIRTH", DDeath: "DDEATH", NData: "NDATA",
	DData: "DDATA", NCmd: "NCMD", DCmd: "DCMD", HostState: "STATE",
}

// String returns the topic level, such as "NBIRTH", or "" for an unknown type.
func (t MessageType) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return ""
}

// OfDevice reports whether messages of this type concern a device.
func (t MessageType) OfDevice() bool {
	return t == DBirth || t == DDeath || t == DData || t == DCmd
}

func parseType(s string) MessageType {
	for t := NBirth; t <= HostState; t++ {
		if typeNames[t] == s {
			return t
		}
	}
	return 0
}

// Topic is a parsed Sparkplug topic. Host is set for STATE only, Device for the
// device messages only.
type Topic struct {
	Type                MessageType
	Group, Node, Device string
	Host                string
}

// String returns spBv1.0/GROUP/TYPE/NODE[/DEVICE] or spBv1.0/STATE/HOST.
func (t Topic) String() string {
	switch {
	case t.Type == HostState:
		return Namespace + "/STATE/" + t.Host
	case t.Type.OfDevice():
		return Namespace + "/" + t.Group + "/" + t.Type.String() + "/" + t.Node + "/" + t.Device
	}
	return Namespace + "/" + t.Group + "/" + t.Type.String() + "/" + t.Node
}

// ParseTopic is the inverse of [Topic.String]. An id may be any text that MQTT
// and Sparkplug allow in one topic level, up to [MaxID] bytes.
func ParseTopic(s string) (Topic, error) {
	var t Topic
	var levels [5]string
	n := 0
	for rest, more := s, true; more; n++ {
		if n == len(levels) {
			return t, topicError(s, "has more than 5 levels")
		}
		levels[n], rest, more = strings.Cut(rest, "/")
	}
	if levels[0] != Namespace {
		return t, topicError(s, "does not begin with "+Namespace+"/")
	}
	if n == 3 && levels[1] == "STATE" {
		if err := checkTopicID(s, "host", levels[2]); err != nil {
			return Topic{}, err
		}
		return Topic{Type: HostState, Host: levels[2]}, nil
	}
	if n < 4 {
		return t, topicError(s, "has fewer than 4 levels")
	}
	t = Topic{Group: levels[1], Type: parseType(levels[2]), Node: levels[3], Device: levels[4]}
	if t.Type == 0 || t.Type == HostState {
		return Topic{}, topicError(s, "has no message type as its third level")
	}
	if t.Type.OfDevice() != (n == 5) {
		return Topic{}, topicError(s, "has a device where its type has none, or none where it has one")
	}
	for _, id := range [...]struct{ what, id string }{{"group", t.Group}, {"node", t.Node}} {
		if err := checkTopicID(s, id.what, id.id); err != nil {
			return Topic{}, err
		}
	}
	if n == 5 {
		if err := checkTopicID(s, "device", t.Device); err != nil {
			return Topic{}, err
		}
	}
	return t, nil
}

func checkTopicID(topic, what, id string) error {
	switch {
	case id == "":
		return topicError(topic, "has an empty "+what+" id")
	case len(id) > MaxID:
		return topicError(topic, fmt.Sprintf("has a %s id of %d bytes, more than %d", what, len(id), MaxID))
	case strings.ContainsAny(id, "+#/"):
		return topicError(topic, "has a wildcard in its "+what+" id")
	case !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl):
		return topicError(topic, "has a "+what+" id that is not printable UTF-8")
	}
	return nil
}

func topicError(topic, fault string) error {
	return fmt.Errorf("topic %q %s", clip(topic), fault)
}

// clip keeps hostile input short in a message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

// ClientPrefix is what the MQTT client ids of an edge node of ours begin with. Group and
// node are ids, so no two nodes have a prefix in common.
func ClientPrefix(group, node string) string { return group + "/" + node + "/" }
