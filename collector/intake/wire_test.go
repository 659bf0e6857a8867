package intake_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// wire is a link in memory. It keeps what is sent to nodes.
type wire struct {
	t testing.TB

	mu       sync.Mutex
	online   []bool
	offline  bool          // Publish fails
	block    chan struct{} // Publish waits for it to be closed
	acks     map[telemetry.Node][]sparkplug.Ack
	rebirths map[telemetry.Node]int
}

func newWire(t testing.TB) *wire {
	return &wire{t: t, acks: map[telemetry.Node][]sparkplug.Ack{}, rebirths: map[telemetry.Node]int{}}
}

func (w *wire) Announce(online bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.online = append(w.online, online)
}

func (w *wire) Publish(topic string, payload []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if block := w.block; block != nil {
		w.mu.Unlock()
		<-block
		w.mu.Lock()
	}
	if w.offline {
		return errors.New("offline")
	}
	parsed, err := sparkplug.ParseTopic(topic)
	if err != nil || parsed.Type != sparkplug.NCmd {
		w.t.Errorf("published to %s", topic)
	}
	p, err := sparkplug.Decode(payload, sparkplug.Limits{})
	if err != nil {
		w.t.Errorf("published what does not decode: %v", err)
		return nil
	}
	c, err := sparkplug.ParseCommand(p)
	if err != nil {
		w.t.Errorf("published what is no command: %v", err)
	}
	n := telemetry.Node{Group: parsed.Group, ID: parsed.Node}
	if c.Rebirth {
		w.rebirths[n]++
	}
	if c.Ack != nil {
		w.acks[n] = append(w.acks[n], *c.Ack)
	}
	return nil
}

func (w *wire) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *wire) asked(n telemetry.Node) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rebirths[n]
}

func (w *wire) said(n telemetry.Node) []sparkplug.Ack {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.acks[n])
}

func (w *wire) announced() []bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.online)
}

func (w *wire) acked(n telemetry.Node, e telemetry.Epoch) (all ranges.Set) {
	for _, a := range w.said(n) {
		for _, part := range a.Epochs {
			if part.Epoch == e {
				all.AddSet(part.Committed)
			}
		}
	}
	return all
}

func (w *wire) last(n telemetry.Node) sparkplug.Ack {
	list := w.said(n)
	if len(list) == 0 {
		return sparkplug.Ack{}
	}
	return list[len(list)-1]
}
