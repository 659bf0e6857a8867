package host_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"andon.internal/collector/host"
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

// tapped is an MQTT client that tells of each STATE which it was given to publish.
type tapped struct {
	mqtt.Client
	tell func(s sparkplug.State, answer mqtt.Token)
}

func (c tapped) Publish(topic string, qos byte, retained bool, payload any) mqtt.Token {
	answer := c.Client.Publish(topic, qos, retained, payload)
	if s, err := sparkplug.ParseState(payload.([]byte)); topic == stateTopic && err == nil {
		c.tell(s, answer)
	}
	return answer
}

// said is each STATE that a host has said, in order.
func said(t *testing.T, b *edgetest.Broker) (list []sparkplug.State) {
	t.Helper()
	for _, p := range b.Packets("andon-host-") {
		if p.Kind != "PUBLISH" || p.Topic != stateTopic {
			continue
		}
		s, err := sparkplug.ParseState(p.Payload)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

// TestStopAsStateIsAnswered: neither the answer nor the stop comes first. A host says offline
// all the same, once, whether it says its STATE for the first time or puts it right.
func TestStopAsStateIsAnswered(t *testing.T) {
	for _, at := range []int{1, 2} {
		for range 12 { // which of two cases that are ready a select takes is left to chance
			b, count := edgetest.StartBroker(t), 0
			stopped := make(chan struct{})
			var r *rig
			r = newRig(t, b.URL(), "plant", func(h *host.Host) {
				h.Wrap(func(c mqtt.Client) mqtt.Client {
					return tapped{c, func(s sparkplug.State, answer mqtt.Token) {
						if count++; s.Online && count == at {
							answer.Wait()
							r.cancel()
							close(stopped)
						}
					}}
				})
			})
			r.host.Announce(true)
			if at > 1 {
				until(t, "STATE online", func() bool { return online(b) })
				b.Publish(stateTopic, string(sparkplug.State{Timestamp: 1}.Append(nil)), true)
			}
			<-stopped
			r.stop()
			if online(b) {
				t.Fatalf("said %+v, and stopped", said(t, b))
			}
			if list := said(t, b); len(list) != at+1 {
				t.Fatalf("said %+v, want offline once", list)
			}
			b.Stop()
		}
	}
}

// TestStopWhileStateIsPutRight: it is not answered yet, and offline is said once behind it. The
// host does not take that for another's.
func TestStopWhileStateIsPutRight(t *testing.T) {
	b, count := edgetest.StartBroker(t), 0
	var r *rig
	r = newRig(t, b.URL(), "plant", func(h *host.Host) {
		h.Wrap(func(c mqtt.Client) mqtt.Client {
			return tapped{c, func(sparkplug.State, mqtt.Token) {
				if count++; count == 2 {
					r.cancel()
				}
			}}
		})
	})
	r.host.Announce(true)
	until(t, "STATE online", func() bool { return online(b) })
	b.Publish(stateTopic, string(sparkplug.State{Timestamp: 1}.Append(nil)), true)
	until(t, "STATE put right and offline", func() bool { return len(said(t, b)) > 2 })
	r.stop()
	if list := said(t, b); len(list) != 3 || list[2].Online {
		t.Errorf("said %+v", list)
	}
}

// TestStateDoesNotGoBack: cells pass over what is older than what they know, also where the clock
// of the host was ahead when it said that.
func TestStateDoesNotGoBack(t *testing.T) {
	b := edgetest.StartBroker(t)
	var ahead atomic.Int64
	ahead.Store(int64(time.Hour))
	r := newRig(t, b.URL(), "plant", func(h *host.Host) {
		h.SetClock(func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	})
	r.host.Announce(true)
	until(t, "STATE online", func() bool { return online(b) })
	ahead.Store(0)
	b.Stop()
	b.Start()
	until(t, "STATE online behind the restart", func() bool { return online(b) })
	r.host.Announce(false)
	until(t, "STATE offline", func() bool { return !online(b) })
	r.host.Announce(true)
	until(t, "STATE online again", func() bool { return online(b) })
	r.stop()
	list, latest := said(t, b), int64(0)
	for _, s := range list {
		if s.Timestamp < latest {
			t.Errorf("%+v comes behind one of %d", s, latest)
		}
		latest = s.Timestamp
	}
	if len(list) != 5 {
		t.Errorf("STATE was said %d times, want 5: %+v", len(list), list)
	}
}
