package presence_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"andon.internal/collector/presence"
)

var begin = time.Unix(1_800_000_000, 0)

// rig is a broker between processes and one listener.
type rig struct {
	t    *testing.T
	now  time.Time
	roll *presence.Roll
}

func newRig(t *testing.T) *rig {
	return &rig{t: t, now: begin, roll: presence.NewRoll(begin, "intake", "sentinel")}
}

// process is one with a role: well, or with a fault, or hanging.
func process(role string, fault, hangs error) presence.Role {
	return presence.Role{Name: role, Alive: func() error { return hangs }, Fault: func() error { return fault }}
}

// pass lets time pass in which the processes say what they do.
func (r *rig) pass(d time.Duration, roles ...presence.Role) {
	for end := r.now.Add(d); r.now.Before(end); r.now = r.now.Add(presence.Every) {
		presence.Say(roles, func(topic string, payload []byte) error {
			if !r.roll.Take(r.now, topic, payload) {
				r.t.Errorf("%s %s is not taken", topic, payload)
			}
			return nil
		})
	}
}

func (r *rig) want(want string) {
	r.t.Helper()
	var list []string
	for _, a := range r.roll.Absent(r.now) {
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %v %s", a.Role, a.Since.Sub(begin), a.Fault)))
	}
	if got := strings.Join(list, "; "); got != want {
		r.t.Errorf("after %v absent are %q, want %q", r.now.Sub(begin), got, want)
	}
}

func TestRoll(t *testing.T) {
	trouble := errors.New("no lease")
	intake, sentinel := process("intake", nil, nil), process("sentinel", nil, nil)
	t.Run("both at work", func(t *testing.T) {
		r := newRig(t)
		r.pass(time.Minute, intake, sentinel)
		r.want("")
	})
	t.Run("one is killed, and comes back", func(t *testing.T) {
		r := newRig(t)
		r.pass(10*time.Second, intake, sentinel)
		r.pass(4*time.Second, intake)
		r.want("")
		r.pass(4*time.Second, intake)
		r.want("sentinel 8s")
		r.pass(2*time.Second, intake, sentinel)
		r.want("")
	})
	t.Run("one hangs", func(t *testing.T) {
		r := newRig(t)
		r.pass(10*time.Second, intake, sentinel)
		r.pass(10*time.Second, intake, process("sentinel", nil, errors.New("hangs")))
		r.want("sentinel 8s")
	})
	t.Run("one never was there", func(t *testing.T) {
		r := newRig(t)
		r.pass(6*time.Second, sentinel)
		r.want("")
		r.pass(2*time.Second, sentinel)
		r.want("intake 0s")
	})
	t.Run("one cannot work", func(t *testing.T) {
		r := newRig(t)
		r.pass(10*time.Second, intake, sentinel)
		r.pass(10*time.Second, process("intake", trouble, nil), sentinel)
		r.want("intake 8s no lease")
		r.pass(10*time.Second, sentinel)
		r.want("intake 8s")
	})
	t.Run("one stands by", func(t *testing.T) {
		r := newRig(t)
		r.pass(20*time.Second, process("intake", trouble, nil), intake, sentinel)
		r.want("")
	})
	t.Run("the listener was cut off", func(t *testing.T) {
		r := newRig(t)
		r.pass(10*time.Second, intake, sentinel)
		r.now = r.now.Add(time.Minute)
		r.roll.Connected(r.now)
		r.want("")
		r.pass(8*time.Second, sentinel)
		r.want("intake 8s")
	})
}

func TestRollTakesOnlyItsOwn(t *testing.T) {
	r := newRig(t)
	for topic, payload := range map[string]string{
		"andon/alarm/plant/x": `{}`,
		"andon/role/intake":   `no JSON`,
		"andon/role/sentinel": `{"fault":"` + strings.Repeat("x", 5000) + `"}`,
	} {
		if r.roll.Take(r.now, topic, []byte(payload)) {
			t.Errorf("%s %.20s is taken", topic, payload)
		}
	}
	if !r.roll.Take(r.now, "andon/role/unknown", []byte(`{}`)) {
		t.Error("a role that nobody expects is no message of a role")
	}
}

// TestLongFaultsAreCut: what a process says of itself ends in every page.
func TestLongFaultsAreCut(t *testing.T) {
	r := newRig(t)
	r.pass(10*time.Second, process("intake", errors.New(strings.Repeat("ü", 400)), nil))
	fault := r.roll.Absent(r.now)[0].Fault
	if len(fault) > 310 || strings.Trim(fault, "ü") != "..." {
		t.Errorf("the fault is %q", fault)
	}
}
