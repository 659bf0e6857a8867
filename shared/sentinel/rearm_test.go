package sentinel_test

import (
	"strings"
	"testing"
	"time"

	"andon.internal/shared/profiles"
	"andon.internal/shared/sentinel"
)

func TestRearmedSilenceCountsAnew(t *testing.T) {
	r := newRig(t)
	r.drive(10, calm) // the last reading is of 9 s
	r.now = begin.Add(30 * time.Second)
	r.engine.Rearm(r.now)
	r.want()
	r.wait(60, false)
	r.want("34.0 node-offline raised")
	r.engine.Rearm(r.now) // what is told stands, and what is beneath it stays there
	r.wait(90, false)
	r.want("34.0 node-offline raised")
	r.note(r.engine.Heard(r.now, "plant", "cell-01"))
	r.wait(100, true)
	r.want("34.0 node-offline raised", "90.0 node-offline cleared", "95.0 data-silence raised")
}

func TestRearmLeavesOtherDelays(t *testing.T) {
	r := newRig(t)
	r.drive(20, calm)
	for s := 20.0; len(r.log) == 0 && s < 40; s++ { // between any two readings
		r.drive(s+1, func(s float64) (float64, float64, bool) { return 60 + 10*(s-20), 400, true })
		r.engine.Rearm(r.now)
	}
	if len(r.log) != 1 || !strings.HasSuffix(r.log[0], "thermal-runaway raised") {
		t.Errorf("told %q, want the thermal runaway", r.log)
	}
}

func TestRearmedDelaysOfSilence(t *testing.T) {
	rules, err := sentinel.Load("rules.yaml", []byte(`
apiVersion: andon/v1
rules:
- {alarm: node-offline, features: {age: {fn: silence, of: node}}, when: age > 4, on_delay: 2s, off_delay: 3s, priority: high}
`), profiles.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	at := func(second float64) time.Time { return begin.Add(time.Duration(second * 1e9)) }
	r := &rig{t: t, engine: sentinel.NewEngine(rules), now: begin}
	heard := func(second float64) { r.note(r.engine.Heard(at(second), "plant", "cell-01")) }
	heard(0)
	r.tickUntil(at(5)) // silent since 4 s, and not told yet
	r.engine.Rearm(at(5))
	r.tickUntil(at(9.5))
	r.want()
	r.note(r.engine.NodeDied(at(9.5), "plant", "cell-01"))
	r.engine.Rearm(at(10)) // an announced death is not taken back
	r.tickUntil(at(20))
	r.want("11.0 node-offline raised")
	heard(20)
	r.engine.Rearm(at(21)) // it was about to clear
	r.tickUntil(at(40))
	r.want("11.0 node-offline raised")
	heard(40)
	r.tickUntil(at(43.5))
	r.want("11.0 node-offline raised", "43.0 node-offline cleared")
}
