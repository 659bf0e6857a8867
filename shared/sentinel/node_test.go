package sentinel_test

import (
	"strings"
	"testing"
	"time"

	"andon.internal/shared/profiles"
	"andon.internal/shared/sentinel"
)

// TestSkewOfANodesClock is told of the node, in either direction, after its delay.
func TestSkewOfANodesClock(t *testing.T) {
	rules, err := sentinel.Load("r.yaml", []byte(`apiVersion: andon/v1
rules:
- {alarm: clock-skew, features: {off: {fn: skew}}, when: off > 30, clear_when: off < 20, on_delay: 10s, priority: medium}
`), profiles.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, engine: sentinel.NewEngine(rules), now: begin}
	beats := func(n int, off time.Duration) {
		for range n {
			r.now = r.now.Add(2 * time.Second)
			r.engine.Clock("plant", "cell-01", off)
			list := r.engine.Heard(r.now, "plant", "cell-01")
			for _, x := range list {
				if x.Subject.Unit != "" || len(x.Figures) != 1 || x.Figures[0].Value != max(off, -off).Seconds() {
					t.Errorf("told %+v", x)
				}
			}
			r.note(list)
		}
	}
	beats(10, time.Second) // s 20
	beats(3, -time.Hour)   // not for 10 s
	beats(5, 0)            // s 36
	beats(10, -time.Hour)  // s 56
	beats(5, 25*time.Second)
	beats(1, 0)
	r.want("48.0 clock-skew raised", "68.0 clock-skew cleared")
}

// TestDiskOfANode is told of the node while the cell says that something is wrong with it.
func TestDiskOfANode(t *testing.T) {
	rules, err := sentinel.Load("r.yaml", []byte(`apiVersion: andon/v1
rules:
- {alarm: disk-fault, features: {bad: {fn: disk}}, when: bad > 0, on_delay: 5s, priority: high}
`), profiles.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, engine: sentinel.NewEngine(rules), now: begin}
	beats := func(n int, fault bool) {
		for range n {
			r.now = r.now.Add(2 * time.Second)
			r.engine.Disk("plant", "cell-01", fault)
			r.note(r.engine.Heard(r.now, "plant", "cell-01"))
		}
	}
	beats(5, false) // s 10
	beats(2, true)  // not for 5 s
	beats(3, false) // s 20
	beats(5, true)
	beats(1, false)
	r.want("27.0 disk-fault raised", "32.0 disk-fault cleared")
}

func TestSkewStandsAlone(t *testing.T) {
	_, err := sentinel.Load("r.yaml", []byte(`apiVersion: andon/v1
rules:
- {alarm: a, profile: dyno, features: {off: {fn: skew}}, when: off > 30, priority: low}
- {alarm: b, features: {off: {fn: skew}, age: {fn: silence, of: node}}, when: off > 30 and age > 1, priority: low}
`), profiles.Builtin())
	for _, want := range []string{"r.yaml:3:", "skew is of a node", "r.yaml:4:", "skew stands alone"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}
