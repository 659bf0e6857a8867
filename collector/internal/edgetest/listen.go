package edgetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Heard is a message that a [Listener] was sent.
type Heard struct {
	Message
	At time.Time
}

// Listener is a client of the broker that keeps everything under a topic filter.
type Listener struct {
	t      testing.TB
	client mqtt.Client

	mu   sync.Mutex
	news chan struct{} // closed and made anew with every message
	list []Heard
}

// Listen subscribes a filter. The test's end disconnects it.
func Listen(t testing.TB, url, filter string) *Listener {
	t.Helper()
	l := &Listener{t: t, news: make(chan struct{})}
	l.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetCleanSession(true).SetAutoReconnect(false).
		SetClientID(fmt.Sprintf("listener-%d", time.Now().UnixNano()%1e12)))
	finish := func(token mqtt.Token) {
		t.Helper()
		if !token.WaitTimeout(patience) || token.Error() != nil {
			t.Fatalf("listen to %s: %v", filter, token.Error())
		}
	}
	finish(l.client.Connect())
	t.Cleanup(func() { l.client.Disconnect(100) })
	finish(l.client.Subscribe(filter, 1, func(_ mqtt.Client, m mqtt.Message) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.list = append(l.list, Heard{Message{m.Topic(), m.Payload()}, time.Now()})
		close(l.news)
		l.news = make(chan struct{})
	}))
	return l
}

// Heard returns all messages so far, in order.
func (l *Listener) Heard() []Heard {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Heard(nil), l.list...)
}

// Until waits for a message for which ok holds, from the first ever heard, and returns it.
func (l *Listener) Until(what string, ok func(Heard) bool) Heard {
	l.t.Helper()
	limit := time.After(patience)
	for {
		l.mu.Lock()
		news, list := l.news, l.list
		l.mu.Unlock()
		for _, h := range list {
			if ok(h) {
				return h
			}
		}
		select {
		case <-news:
		case <-limit:
			var got []string
			for _, h := range list {
				got = append(got, h.Topic+" "+string(h.Payload))
			}
			l.t.Fatalf("waited in vain for %s; heard %q", what, got)
		}
	}
}

// Publish publishes with QoS 1 and waits for the broker.
func (l *Listener) Publish(topic string, payload []byte) {
	l.t.Helper()
	if token := l.client.Publish(topic, 1, false, payload); !token.WaitTimeout(patience) || token.Error() != nil {
		l.t.Fatalf("publish to %s: %v", topic, token.Error())
	}
}
