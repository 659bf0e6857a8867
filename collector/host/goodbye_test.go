package host_test

import (
	"sync"
	"testing"

	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/sparkplug"
)

// A host that is stopped before the broker has answered its STATE says offline behind it: that
// may have arrived, and a clean stop leaves no will.
func TestStopBeforeStateIsAnswered(t *testing.T) {
	b := edgetest.StartBroker(t)
	made := make(chan *rig, 1)
	var first sync.Once
	b.Lose(func(topic string) bool {
		if topic == stateTopic {
			first.Do(func() { (<-made).stop() }) // the broker reads on, and answers, behind it
		}
		return false
	})
	r := newRig(t, b.URL(), "plant")
	made <- r
	r.host.Announce(true)
	until(t, "offline is said", func() bool {
		text, _ := b.Retained(stateTopic)
		s, err := sparkplug.ParseState([]byte(text))
		return err == nil && !s.Online
	})
}
