package agent_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"andon.internal/agent/state"
)

// TestTheCardIsCountedOverStarts: what was written before is known, and its metrics say so.
func TestTheCardIsCountedOverStarts(t *testing.T) {
	cfg := cellConfig(t, freeAddress(t), csvOf(2, 1000))
	a := start(t, cfg)
	eventually(t, "all is buffered", func() bool { return a.metric("andon_buffer_rows") == "2000" })
	a.stop()
	first, err := look(t, cfg).Holdings(t.Context())
	if err != nil || first.Card == nil || first.Card.DeviceBytes == 0 || first.Card.StoredBytes == 0 || first.Card.RunningSeconds <= 0 {
		t.Fatalf("%+v, %v", first.Card, err)
	}
	a = start(t, cfg)
	defer a.stop()
	s, _, err := look(t, cfg).Status(t.Context())
	if err != nil || s.Card.DeviceBytes <= first.Card.DeviceBytes || s.Card.RunningSeconds <= first.Card.RunningSeconds ||
		s.Card.ReadingBytes < first.Card.ReadingBytes || s.Card.StartBytes >= s.Card.DeviceBytes {
		t.Errorf("%+v after %+v, %v", s.Card, first.Card, err)
	}
	if got := a.metric("andon_card_endurance_bytes"); got != fmt.Sprint(float64(8<<40)) {
		t.Errorf("endurance is %s", got)
	}
	if got := a.metric("andon_card_life_seconds"); got != "NaN" {
		t.Errorf("life is %s in the first minutes", got)
	}
}

// TestTheLifeOfACard: by what was written in the time that agents ran, in the metric and in what
// buffer ls prints, while the agent runs and when it does not.
func TestTheLifeOfACard(t *testing.T) {
	cfg := cellConfig(t, freeAddress(t), csvOf(1, 1))
	cfg.Buffer.Endurance = 3e12
	start(t, cfg).stop()
	kv, err := state.Open(filepath.Join(string(cfg.Data), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	// 100 kB a second for four months: what the test itself adds is nothing beside it.
	err = kv.Put("card", "written", []byte(`{"version": 1, "seconds": 1e7, "device": 1000000000000}`))
	if err := errors.Join(err, kv.Close()); err != nil {
		t.Fatal(err)
	}
	const want = 2e7
	right := func(seconds float64) bool { return seconds > .99*want && seconds < 1.01*want }
	list := func(state string) {
		h, err := look(t, cfg).Holdings(t.Context())
		if err != nil || h.Card == nil || !right(h.Card.LifeSeconds) {
			t.Fatalf("%s: %+v, %v", state, h.Card, err)
		}
		var out strings.Builder
		if err := h.Text(&out); err != nil || !strings.Contains(out.String(), "a card of 2.73 TiB lasts 231 days more") {
			t.Errorf("%s: %v, %s", state, err, out.String())
		}
	}
	list("stopped")
	a := start(t, cfg)
	var life float64
	if _, err := fmt.Sscan(a.metric("andon_card_life_seconds"), &life); err != nil || !right(life) {
		t.Errorf("life is %v seconds, %v", life, err)
	}
	list("running")
	a.stop()
}
