package broker

import "strings"

// validTopic reports whether a message may be published to the topic: a bounded
// number of bytes and levels, no wildcard, not in the broker's own $ space.
func validTopic(topic string) bool {
	return topic != "" && len(topic) <= maxTopic &&
		topic[0] != '$' &&
		!strings.ContainsAny(topic, "+#") &&
		strings.Count(topic, "/") < maxTopicLevels
}

// validFilter reports whether a filter may be subscribed: bounded, with wildcards
// only as whole levels and # only at the end (MQTT 5.0, 4.7.1), and not shared.
func validFilter(filter string) bool {
	if filter == "" || len(filter) > maxTopic || strings.Count(filter, "/") >= maxTopicLevels {
		return false
	}
	levels := strings.Split(filter, "/")
	if strings.EqualFold(levels[0], "$share") {
		return false
	}
	for i, level := range levels {
		switch {
		case level == "#" && i == len(levels)-1, level == "+":
		case strings.ContainsAny(level, "+#"):
			return false
		}
	}
	return true
}

// spansNodes reports whether a filter takes in more than one Sparkplug node (or one
// host's state): namespace, group, type and node are its first four levels.
func spansNodes(filter string) bool {
	for i, level := range strings.SplitN(filter, "/", 5) {
		if i < 4 && (level == "+" || level == "#") {
			return true
		}
	}
	return false
}
