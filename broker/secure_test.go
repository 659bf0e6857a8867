package broker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"andon.internal/broker"
	"andon.internal/broker/access"
	"andon.internal/broker/ca"
	"andon.internal/shared/config"
	"andon.internal/shared/mtls"
)

// authority is a CA for one test, and a broker that trusts it.
type authority struct {
	*ca.CA
	t   *testing.T
	dir string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	dir := t.TempDir()
	c, err := ca.Init(filepath.Join(dir, "ca"), "test plant")
	if err != nil {
		t.Fatal(err)
	}
	return &authority{c, t, dir}
}

// write puts a pair into files and returns the configuration that names them.
func (a *authority) write(name string, p ca.Pair) mtls.Config {
	a.t.Helper()
	cert, key := filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	for path, b := range map[string][]byte{cert: p.Cert, key: p.Key} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	path := func(s string) config.Path { return config.Path(s) }
	return mtls.Config{CA: path(filepath.Join(a.dir, "ca", ca.CertFile)), Cert: path(cert), Key: path(key)}
}

func (a *authority) issue(i access.Identity, life time.Duration) mtls.Config {
	a.t.Helper()
	p, _, err := a.Issue(i, life)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(i.Username(), p)
}

// broker starts one with TLS.
func (a *authority) broker(change func(*broker.Config)) *running {
	a.t.Helper()
	p, _, err := a.IssueServer([]string{"127.0.0.1", "broker.plant.example"}, time.Hour)
	if err != nil {
		a.t.Fatal(err)
	}
	return start(a.t, func(c *broker.Config) {
		c.TLS = a.write("broker", p)
		c.TLS.CRL = config.Path(filepath.Join(a.dir, "ca", ca.CRLFile))
		if change != nil {
			change(c)
		}
	})
}

// connect tries to connect with a certificate and returns what came of it.
func (a *authority) connect(r *running, c *tls.Config, id string, change func(*paho.ClientOptions)) (paho.Client, error) {
	a.t.Helper()
	o := paho.NewClientOptions().AddBroker("ssl://" + r.Addr()).SetClientID(id).SetTLSConfig(c).
		SetAutoReconnect(false).SetConnectRetry(false).SetProtocolVersion(4).SetConnectTimeout(patience).SetOrderMatters(false)
	if change != nil {
		change(o)
	}
	client := paho.NewClient(o)
	token := client.Connect()
	if !token.WaitTimeout(patience) {
		a.t.Fatalf("no answer to CONNECT within %v", patience)
	}
	if token.Error() == nil {
		a.t.Cleanup(func() { client.Disconnect(0) })
	}
	return client, token.Error()
}

func (a *authority) tls(c mtls.Config) *tls.Config {
	a.t.Helper()
	s, err := mtls.Open(c, mtls.Options{})
	if err != nil {
		a.t.Fatal(err)
	}
	return s.Client("127.0.0.1")
}

func (a *authority) must(r *running, i access.Identity) paho.Client {
	a.t.Helper()
	c, err := a.connect(r, a.tls(a.issue(i, time.Hour)), i.ClientPrefix()+i.Name, nil)
	if err != nil {
		a.t.Fatalf("%s: %v", i, err)
	}
	return c
}

var (
	cell07 = access.Identity{Role: access.Node, Group: "line1", Name: "cell-07"}
	plant  = access.Identity{Role: access.Collector, Name: "main"}
	ann    = access.Identity{Role: access.Viewer, Name: "ann"}
)

func TestWhoMayConnect(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	r := a.broker(nil)
	good := a.tls(a.issue(cell07, time.Hour))
	expired := a.issue(access.Identity{Role: access.Node, Group: "line1", Name: "old"}, time.Millisecond)
	time.Sleep(2 * time.Millisecond) // its life
	foreign := other.tls(other.issue(cell07, time.Hour))
	foreign.RootCAs = good.RootCAs
	server, _, err := a.IssueServer([]string{"elsewhere.example"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	none := good.Clone()
	none.Certificates = nil
	old := good.Clone()
	old.MaxVersion = tls.VersionTLS12
	old.MinVersion = tls.VersionTLS12
	will := func(topic string) func(*paho.ClientOptions) {
		return func(o *paho.ClientOptions) { o.SetWill(topic, "x", 1, false) }
	}
	for _, c := range []struct {
		name   string
		tls    *tls.Config
		id     string
		change func(*paho.ClientOptions)
		ok     bool
		metric string // what counts the refusal
		label  string
	}{
		{"a cell", good, "line1/cell-07/a", will("spBv1.0/line1/NDEATH/cell-07"), true, "", ""},
		{"without a certificate", none, "line1/cell-07/b", nil, false, "refused_connections_total", `"tls"`},
		{"of another authority", foreign, "line1/cell-07/b", nil, false, "refused_connections_total", `"tls"`},
		{"expired", a.tls(expired), "line1/old/b", nil, false, "refused_connections_total", `"tls"`},
		{"TLS 1.2", old, "line1/cell-07/b", nil, false, "refused_connections_total", `"tls"`},
		{"a broker's certificate", a.tls(a.write("server", server)), "x", nil, false, "refused_connections_total", `"tls"`},
		{"under another's client id", good, "line1/cell-08/b", nil, false, "denied_total", `"connect"`},
		{"with another's death as its will", good, "line1/cell-07/b", will("spBv1.0/line1/NDEATH/cell-08"), false, "denied_total", `"connect"`},
		{"with a command as its will", good, "line1/cell-07/b", will("spBv1.0/line1/NCMD/cell-07"), false, "denied_total", `"connect"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := 0.0
			if c.metric != "" {
				before = r.metric(c.metric, c.label)
			}
			_, err := a.connect(r, c.tls, c.id, c.change)
			if (err == nil) != c.ok {
				t.Errorf("connect: %v", err)
			}
			if c.metric != "" {
				eventually(t, "the refusal is counted", func() bool { return r.metric(c.metric, c.label) > before })
			}
		})
	}
	t.Run("in plain MQTT", func(t *testing.T) {
		c, err := net.Dial("tcp", r.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01a")); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		b := make([]byte, 64)
		if n, err := c.Read(b); err == nil && n > 0 && b[0] == 0x20 {
			t.Error("a CONNACK without TLS")
		}
	})
	if strings.Contains(r.log.String(), "PRIVATE KEY") {
		t.Error("a key is in the log")
	}
}

// TestRevoked: a certificate on the list is refused as soon as the list is read again.
func TestRevoked(t *testing.T) {
	a := newAuthority(t)
	r := a.broker(nil)
	p, issued, err := a.Issue(cell07, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c := a.tls(a.write("cell", p))
	client, err := a.connect(r, c, "line1/cell-07/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	client.Disconnect(0)
	if list, err := a.Revoke(issued.Serial); err != nil || len(list) != 1 {
		t.Fatalf("revoked %v, %v", list, err)
	}
	eventually(t, "the certificate is refused", func() bool {
		client, err := a.connect(r, c, "line1/cell-07/2", nil)
		if err == nil {
			client.Disconnect(0)
		}
		return err != nil
	})
	eventually(t, "the log says why", func() bool { return strings.Contains(r.log.String(), "was revoked at") })
	a.must(r, cell07) // a new one is good
}

// TestWhoMaySay has each role publish and subscribe at the broker.
func TestWhoMaySay(t *testing.T) {
	a := newAuthority(t)
	r := a.broker(nil)
	node, collector, viewer := a.must(r, cell07), a.must(r, plant), a.must(r, ann)
	heard := make(chan string, 100)
	wait(t, collector.Subscribe("spBv1.0/#", 0, func(_ paho.Client, m paho.Message) { heard <- m.Topic() }))
	wait(t, viewer.Subscribe("spBv1.0/line1/#", 1, func(_ paho.Client, m paho.Message) { heard <- "viewer " + m.Topic() }))
	for _, filter := range []string{"spBv1.0/line1/NCMD/+", "#", "spBv1.0/line1/NCMD/cell-08"} {
		token := node.Subscribe(filter, 1, nil)
		if !token.WaitTimeout(patience) || token.(*paho.SubscribeToken).Result()[filter] != 0x80 {
			t.Errorf("a cell is granted %q", filter)
		}
	}
	token := viewer.Subscribe("andon/#", 2, nil).(*paho.SubscribeToken)
	if wait(t, token); token.Result()["andon/#"] != 0 {
		t.Errorf("a viewer is granted QoS %d", token.Result()["andon/#"])
	}
	say := func(c paho.Client, topic string, retain bool) { wait(t, c.Publish(topic, 0, retain, "x")) }
	say(node, "spBv1.0/line1/NDATA/cell-08", false)
	say(node, "spBv1.0/line1/NCMD/cell-07", false)
	say(node, "spBv1.0/line1/NDATA/cell-07", true)
	say(viewer, "spBv1.0/line1/NDATA/cell-07", false)
	say(collector, "spBv1.0/line1/NDATA/cell-07", false)
	say(collector, "spBv1.0/line1/NCMD/cell-07", true)
	eventually(t, "all six are denied", func() bool {
		return r.metric("denied_total", `"publish"`) == 4 && r.metric("denied_total", `"retain"`) == 2
	})
	say(node, "spBv1.0/line1/NDATA/cell-07", false)
	got := map[string]bool{}
	for len(got) < 2 {
		select {
		case topic := <-heard:
			got[topic] = true
		case <-time.After(patience):
			t.Fatalf("heard %v", got)
		}
	}
	if !got["spBv1.0/line1/NDATA/cell-07"] || !got["viewer spBv1.0/line1/NDATA/cell-07"] {
		t.Errorf("heard %v", got)
	}
	if n := r.metric("denied_total", `"subscribe"`); n != 3 {
		t.Errorf("%v denied subscriptions are counted, want 3", n)
	}
}

// TestCertificatesOfThePlant are not made by us and name nobody: the configuration does.
func TestCertificatesOfThePlant(t *testing.T) {
	a := newAuthority(t)
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Plant Root", Organization: []string{"Plant"}}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	rootFile := filepath.Join(a.dir, "plant.crt")
	if err := os.WriteFile(rootFile, encode("CERTIFICATE", rootDER), 0o600); err != nil {
		t.Fatal(err)
	}
	sign := func(name string, template *x509.Certificate) mtls.Config {
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), root.NotBefore, root.NotAfter
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificate(rand.Reader, template, root, k.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		c := a.write(name, ca.Pair{Cert: encode("CERTIFICATE", der), Key: encode("PRIVATE KEY", keyDER)})
		c.CA = config.Path(rootFile)
		return c
	}
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	r := start(t, func(c *broker.Config) {
		c.TLS = sign("broker", &x509.Certificate{
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		})
		c.Holders = []broker.Holder{
			{Certificate: "edge7.plant.example", Role: access.Node, Group: "line1", Name: "cell-07"},
			{Certificate: "Collector of Line 1", Role: access.Collector, Name: "main"},
		}
	})
	edge := sign("edge", &x509.Certificate{Subject: pkix.Name{CommonName: "box"}, DNSNames: []string{"edge7.plant.example"}, ExtKeyUsage: client})
	if _, err := a.connect(r, a.tls(edge), "line1/cell-07/1", nil); err != nil {
		t.Errorf("a cell by its DNS name: %v", err)
	}
	main := sign("main", &x509.Certificate{Subject: pkix.Name{CommonName: "Collector of Line 1"}, ExtKeyUsage: client})
	if _, err := a.connect(r, a.tls(main), "main", nil); err != nil {
		t.Errorf("a collector by its common name: %v", err)
	}
	stranger := sign("stranger", &x509.Certificate{Subject: pkix.Name{CommonName: "stranger"}, ExtKeyUsage: client})
	if _, err := a.connect(r, a.tls(stranger), "x", nil); err == nil {
		t.Error("a holder whom nobody names got in")
	}
	eventually(t, "the stranger is counted and told", func() bool {
		return r.metric("refused_connections_total", `"no_identity"`) == 1 && strings.Contains(r.log.String(), "stranger")
	})
}

// TestNobodyTakesOverAnothersSession: under the client id of somebody else there is no
// way in, under one's own the old session ends.
func TestNobodyTakesOverAnothersSession(t *testing.T) {
	a := newAuthority(t)
	r := a.broker(nil)
	lost := make(chan error, 1)
	first, err := a.connect(r, a.tls(a.issue(plant, time.Hour)), "andon-host-1", func(o *paho.ClientOptions) {
		o.SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err })
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.connect(r, a.tls(a.issue(ann, time.Hour)), "andon-host-1", nil); err == nil {
		t.Error("a viewer took over the session of a collector")
	}
	wait(t, first.Subscribe("spBv1.0/#", 0, nil)) // its session goes on
	select {
	case err := <-lost:
		t.Fatalf("the collector lost its session: %v", err)
	default:
	}
	if _, err := a.connect(r, a.tls(a.issue(plant, time.Hour)), "andon-host-1", nil); err != nil {
		t.Errorf("a collector does not take over its own session: %v", err)
	}
	select {
	case <-lost:
	case <-time.After(patience):
		t.Error("the old session goes on")
	}
}
