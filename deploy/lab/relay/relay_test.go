package relay_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon.internal/lab/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cable joins two namespaces with a relay, and returns it with their files.
func cable(t *testing.T, h relay.Harm) (r *relay.Relay, here, there string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: it makes network namespaces and TAP devices")
	}
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	a := "andon-relay-" + strconv.Itoa(os.Getpid()) + "-a"
	b := "andon-relay-" + strconv.Itoa(os.Getpid()) + "-b"
	for _, name := range []string{a, b} {
		ip("netns", "add", name)
		t.Cleanup(func() { ip("netns", "del", name) })
	}
	r, err := relay.Open("/run/netns/"+a, "tap-a", "tap-b", 7, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	ip("-n", a, "link", "set", "tap-b", "netns", b)
	for i, name := range []string{a, b} {
		dev := []string{"tap-a", "tap-b"}[i]
		ip("-n", name, "addr", "add", "10.198.7."+strconv.Itoa(i+1)+"/24", "dev", dev)
		ip("-n", name, "link", "set", dev, "up")
	}
	return r, "/run/netns/" + a, "/run/netns/" + b
}

func TestHarm(t *testing.T) {
	for name, c := range map[string]struct {
		harm relay.Harm
		ok   func(relay.Seen, relay.Counts) bool
	}{
		"none": {relay.Harm{}, func(s relay.Seen, c relay.Counts) bool {
			return s.Lost == 0 && s.Doubled == 0 && s.Disorder == 0 && c.Frames >= 200 && c.Lost+c.Repeated+c.Reordered+c.Overflow == 0
		}},
		"loss": {relay.Harm{Loss: 0.2}, func(s relay.Seen, c relay.Counts) bool {
			return s.Lost > 10 && s.Lost < 90 && s.Doubled == 0 && s.Disorder == 0 && c.Lost >= uint64(s.Lost)
		}},
		"repeat": {relay.Harm{Repeat: 0.2}, func(s relay.Seen, c relay.Counts) bool {
			return s.Lost == 0 && s.Doubled > 10 && s.Doubled < 90 && s.Disorder == 0 && c.Repeated >= uint64(s.Doubled)
		}},
		"reorder": {relay.Harm{Reorder: 0.2}, func(s relay.Seen, c relay.Counts) bool {
			return s.Lost == 0 && s.Doubled == 0 && s.Disorder > 10 && c.Reordered >= uint64(s.Disorder)
		}},
		"delay": {relay.Harm{Delay: 300 * time.Millisecond}, func(s relay.Seen, _ relay.Counts) bool {
			return s.Lost == 0 && s.Doubled == 0 && s.Disorder == 0 && s.Soonest >= 300*time.Millisecond
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r, here, there := cable(t, c.harm)
			// The first datagrams wait for the address of the other one.
			seen, err := relay.Probe(t.Context(), here, there, "10.198.7.2")
			if err != nil {
				t.Fatal(err)
			}
			if counts := r.Counts(); !c.ok(seen, counts) {
				t.Errorf("seen %+v, counted %+v", seen, counts)
			}
		})
	}
}
