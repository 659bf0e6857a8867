package access_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"andon.internal/broker/access"
	"andon.internal/shared/freeport"
)

// mosquitto is a real Mosquitto that enforces a written policy. Users have their name
// for a password; god may do everything.
type mosquitto struct {
	t       *testing.T
	address string
}

const god = "god"

func startMosquitto(t *testing.T, list ...access.Identity) *mosquitto {
	t.Helper()
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		program = "/usr/sbin/mosquitto"
	}
	dir := t.TempDir()
	var acl bytes.Buffer
	if err := access.WriteMosquitto(&acl, list); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&acl, "\nuser %s\ntopic readwrite #\n", god)
	passwords := filepath.Join(dir, "passwords")
	var users strings.Builder
	for _, i := range list {
		fmt.Fprintf(&users, "%s:%s\n", i.Username(), i.Username())
	}
	fmt.Fprintf(&users, "%s:%s\n", god, god)
	port, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"acl": acl.String(), "passwords": users.String(),
		"mosquitto.conf": fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous false\nacl_file %s\npassword_file %s\nmax_packet_size 524288\n",
			port, filepath.Join(dir, "acl"), passwords),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Mosquitto gives up root, and must still reach its files.
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("mosquitto_passwd", "-U", passwords).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd (Debian: mosquitto): %v: %s", err, out)
	}
	if err := os.Chmod(passwords, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", filepath.Join(dir, "mosquitto.conf"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("mosquitto (Debian: mosquitto): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("mosquitto wrote:\n%s", out.String())
		}
	})
	m := &mosquitto{t, fmt.Sprintf("127.0.0.1:%d", port)}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", m.address); err == nil {
			c.Close()
			return m
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// connect returns a client that notes the topics on which it receives.
func (m *mosquitto) connect(user string) (paho.Client, func() []string) {
	m.t.Helper()
	var mu sync.Mutex
	var got []string
	o := paho.NewClientOptions().AddBroker("tcp://" + m.address).SetClientID(user + "/1").SetUsername(user).SetPassword(user).
		SetAutoReconnect(false).SetDefaultPublishHandler(func(_ paho.Client, msg paho.Message) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, msg.Topic())
	})
	c := paho.NewClient(o)
	m.wait(c.Connect())
	m.t.Cleanup(func() { c.Disconnect(100) })
	return c, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}
}

func (m *mosquitto) wait(t paho.Token) {
	m.t.Helper()
	if !t.WaitTimeout(10*time.Second) || t.Error() != nil {
		m.t.Fatalf("mosquitto: %v", t.Error())
	}
}

// end is a topic on which god alone publishes and everybody may read; it comes behind
// all that was published before.
const end = "spBv1.0/STATE/end-of-round"

// until waits for the end of a round and returns what came before it.
func (m *mosquitto) until(got func() []string) []string {
	m.t.Helper()
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		list := got()
		if i := slices.Index(list, end); i >= 0 {
			return list[:i]
		}
		if time.Now().After(limit) {
			m.t.Fatalf("the round does not end: %q", list)
		}
	}
}

// topics are what the two brokers' policies are compared on.
var topics = []string{
	"spBv1.0/line1/NBIRTH/cell-07", "spBv1.0/line1/NDATA/cell-07", "spBv1.0/line1/NDEATH/cell-07",
	"spBv1.0/line1/DBIRTH/cell-07/a", "spBv1.0/line1/DDATA/cell-07/a", "spBv1.0/line1/DDEATH/cell-07/a",
	"spBv1.0/line1/NCMD/cell-07", "spBv1.0/line1/DCMD/cell-07/a",
	"spBv1.0/line1/NDATA/cell-08", "spBv1.0/line2/NDATA/cell-07", "spBv1.0/line1/DDATA/cell-08/a", "spBv1.0/line1/NCMD/cell-08",
	"spBv1.0/line2/DCMD/cell-07/a", "spBv1.0/STATE/andon", "spBv1.0/other", "spBv1.0", "andon/other", "andon/alarm/line1/0123", "andon/ack/0123", "andon/role/web",
	"plant/secret",
}

// TestMosquittoEnforcesTheSame publishes and reads every topic as every identity, at a
// real Mosquitto with the written policy, and compares what passes with our decision.
func TestMosquittoEnforcesTheSame(t *testing.T) {
	identities := []access.Identity{node, {Role: access.Node, Group: "line1", Name: "cell-08"}, collector, viewer}
	m := startMosquitto(t, identities...)
	boss, seen := m.connect(god)
	m.wait(boss.Subscribe("#", 1, nil))
	for _, id := range identities {
		c, got := m.connect(id.Username())
		var mayWrite, mayRead []string
		before := len(seen())
		for _, topic := range topics {
			m.wait(c.Publish(topic, 1, false, "x"))
			if id.MayPublish(topic, false) {
				mayWrite = append(mayWrite, topic)
			}
			if _, ok := id.MayRead(topic); ok {
				mayRead = append(mayRead, topic)
			}
		}
		m.wait(boss.Publish(end, 1, false, "x"))
		passed := m.until(func() []string { return seen()[before:] })
		if !slices.Equal(passed, mayWrite) {
			t.Errorf("%s publishes to\n%q\nwant\n%q", id, passed, mayWrite)
		}

		m.wait(c.Subscribe("#", 1, nil))
		for _, topic := range topics {
			m.wait(boss.Publish(topic, 1, false, "x"))
		}
		m.wait(boss.Publish(end, 1, false, "x"))
		m.until(func() []string { return seen()[before+len(passed)+1:] })
		if list := m.until(got); !slices.Equal(list, mayRead) {
			t.Errorf("%s reads\n%q\nwant\n%q", id, list, mayRead)
		}
	}
}

func TestMosquittoRefusesNobody(t *testing.T) {
	if err := access.WriteMosquitto(&bytes.Buffer{}, []access.Identity{{Role: access.Node, Group: "a/b", Name: "c"}}); err == nil {
		t.Error("an identity that is none was written")
	}
	if err := access.WriteMosquitto(&bytes.Buffer{}, []access.Identity{local}); err == nil {
		t.Error("who is local was written")
	}
}
