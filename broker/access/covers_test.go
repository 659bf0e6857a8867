package access_test

import (
	"slices"
	"strings"
	"testing"

	"andon.internal/broker/access"
)

// matches is MQTT's matching of a topic by a filter, written the plain way: 4.7 of MQTT
// 5.0, one level after the other.
func matches(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && (strings.HasPrefix(filter, "#") || strings.HasPrefix(filter, "+")) {
		return false
	}
	var match func(f, t []string) bool
	match = func(f, t []string) bool {
		switch {
		case len(f) == 0:
			return len(t) == 0
		case f[0] == "#":
			return true
		case len(t) == 0:
			return false
		case f[0] == "+" || f[0] == t[0]:
			return match(f[1:], t[1:]) || (len(t) == 1 && len(f) == 2 && f[1] == "#")
		}
		return false
	}
	return match(strings.Split(filter, "/"), strings.Split(topic, "/"))
}

// words returns every path of up to depth levels over the alphabet.
func words(alphabet []string, depth int) (out []string) {
	level := []string{""}
	for d := range depth {
		var next []string
		for _, head := range level {
			for _, w := range alphabet {
				if d == 0 {
					next = append(next, w)
				} else {
					next = append(next, head+"/"+w)
				}
			}
		}
		out, level = append(out, next...), next
	}
	return out
}

// TestCoversIsInclusion compares the decision about a filter with what it means, over
// all filters and topics of up to four levels of a small alphabet: granted exactly when
// every topic that the filter matches is matched by what is allowed.
func TestCoversIsInclusion(t *testing.T) {
	topics := words([]string{"a", "b", "$x", ""}, 4)
	filters := words([]string{"a", "+", "#", "$x"}, 3)
	granted := 0
	for _, allowed := range filters {
		if i := strings.IndexByte(allowed, '#'); i >= 0 && i != len(allowed)-1 {
			continue
		}
		for _, filter := range filters {
			if i := strings.IndexByte(filter, '#'); i >= 0 && i != len(filter)-1 {
				if access.Covers(allowed, filter) {
					t.Errorf("%q is no filter and %q covers it", filter, allowed)
				}
				continue
			}
			want := !slices.ContainsFunc(topics, func(topic string) bool { return matches(filter, topic) && !matches(allowed, topic) })
			got := access.Covers(allowed, filter)
			if got && !want {
				t.Errorf("%q is allowed and %q granted, which reads more", allowed, filter)
			}
			// What is refused though it reads nothing more would be odd, and is only so for
			// filters that match no topic that is allowed to begin with $, and for +/#, which
			// is the same as # and allowed to nobody.
			if want && !got && !strings.HasPrefix(filter, "$") && allowed+filter != "+/##" {
				t.Errorf("%q is allowed and %q refused, which reads no more", allowed, filter)
			}
			if got {
				granted++
			}
		}
	}
	if granted == 0 {
		t.Error("nothing was ever granted")
	}
}

// FuzzMayRead: whatever is granted to a cell, no topic that it matches is another's.
func FuzzMayRead(f *testing.F) {
	for _, filter := range []string{"spBv1.0/line1/NCMD/cell-07", "spBv1.0/+/NCMD/#", "#", "spBv1.0/STATE/+", "$share/a/b", "\x00", "+/+/+"} {
		f.Add(filter, "spBv1.0/line1/NCMD/cell-08")
	}
	f.Fuzz(func(t *testing.T, filter, topic string) {
		if _, ok := node.MayRead(filter); !ok || strings.ContainsAny(topic, "+#") {
			return
		}
		if !matches(filter, topic) {
			return
		}
		if !strings.HasPrefix(topic, "spBv1.0/STATE/") && topic != "spBv1.0/line1/NCMD/cell-07" &&
			!strings.HasPrefix(topic, "spBv1.0/line1/DCMD/cell-07/") {
			t.Errorf("%q is granted to a cell and brings it %q", filter, topic)
		}
	})
}

// FuzzMayPublish: whatever a cell may publish has its own group and id in their places.
func FuzzMayPublish(f *testing.F) {
	for _, topic := range hostile[:len(hostile)-1] {
		f.Add(topic)
	}
	f.Add("spBv1.0/line1/DDATA/cell-07/press-1")
	f.Fuzz(func(t *testing.T, topic string) {
		if node.MayPublish(topic, true) {
			t.Errorf("a cell retains %q", topic)
		}
		if !node.MayPublish(topic, false) {
			return
		}
		l := strings.Split(topic, "/")
		if len(l) < 4 || l[0] != "spBv1.0" || l[1] != "line1" || l[3] != "cell-07" || strings.HasSuffix(l[2], "CMD") {
			t.Errorf("a cell publishes to %q", topic)
		}
		if collector.MayPublish(topic, false) || viewer.MayPublish(topic, false) {
			t.Errorf("others publish to a cell's %q", topic)
		}
	})
}
