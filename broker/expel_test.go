package broker_test

import (
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"andon.internal/broker/access"
)

// TestSessionsEndWithTheirCertificate: who is connected does not stay longer than the
// certificate is good, whether it is revoked or expires; the plant is told by the will,
// and others stay.
func TestSessionsEndWithTheirCertificate(t *testing.T) {
	a := newAuthority(t)
	r := a.broker(nil)
	deaths := make(chan string, 10)
	collector := a.must(r, plant)
	wait(t, collector.Subscribe("spBv1.0/#", 0, func(_ paho.Client, m paho.Message) { deaths <- m.Topic() }))
	a.must(r, cell07)

	session := func(i access.Identity, life time.Duration) (serial string, lost <-chan error, err error) {
		t.Helper()
		p, issued, err := a.Issue(i, life)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		_, err = a.connect(r, a.tls(a.write(i.Name, p)), i.ClientPrefix()+"1", func(o *paho.ClientOptions) {
			o.SetWill("spBv1.0/line1/NDEATH/"+i.Name, "x", 1, false).
				SetConnectionLostHandler(func(_ paho.Client, err error) { ended <- err })
		})
		return issued.Serial, ended, err
	}
	revoked := access.Identity{Role: access.Node, Group: "line1", Name: "stolen"}
	expires := access.Identity{Role: access.Node, Group: "line1", Name: "old"}
	for _, c := range []struct {
		reason string
		holder access.Identity
		life   time.Duration
	}{{"revoked", revoked, time.Hour}, {"expired", expires, 3 * time.Second}} {
		serial, lost, err := session(c.holder, c.life)
		for life := c.life; err != nil && c.reason == "expired" && life < patience; { // expired on its way
			life *= 2
			serial, lost, err = session(c.holder, life)
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.reason == "revoked" {
			if _, err := a.Revoke(serial); err != nil {
				t.Fatal(err)
			}
		}
		next(t, lost)
		if death := next(t, deaths); death != "spBv1.0/line1/NDEATH/"+c.holder.Name {
			t.Errorf("%s: heard %s", c.reason, death)
		}
		if n := r.metric("expelled_total", `"`+c.reason+`"`); n != 1 {
			t.Errorf("%s: %v are counted, want 1", c.reason, n)
		}
		if want := "reason=" + c.reason + ` identity="` + c.holder.String() + `"`; !strings.Contains(r.log.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, r.log)
		}
		if _, _, err := session(c.holder, time.Hour); err != nil { // with a new one it is back
			t.Fatal(err)
		}
	}
	eventually(t, "four connections are left", func() bool { return r.metric("connections") == 4 })
	if !collector.IsConnectionOpen() {
		t.Error("the collector has lost its connection")
	}
}
