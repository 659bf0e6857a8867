package agent_test

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"andon.internal/agent"
	"andon.internal/agent/identity"
	"andon.internal/agent/identity/identitytest"
	"andon.internal/shared/config"
	"andon.internal/shared/enroll"
	"andon.internal/shared/mqttserver"
	"andon.internal/shared/mtls"
	"andon.internal/shared/sparkplug"
)

// secured is a plant whose cells show certificates.
type secured struct {
	*identitytest.Authority
	*plant
	t       *testing.T
	server  *mochi.Server
	broker  string // with TLS
	service string
	files   identity.Files // of the cell
}

// securePlant starts a broker with TLS for the cell, and enrols the cell for as long as life.
func securePlant(t *testing.T, life time.Duration) *secured {
	t.Helper()
	s := &secured{Authority: identitytest.New(t), t: t, broker: freeAddress(t), files: identity.FilesIn(t.TempDir())}
	now := time.Now()
	own := config.Path(s.Issue("broker.pem", "", "", now.Add(-time.Hour), now.Add(24*time.Hour)))
	path := func(name string) config.Path { return config.Path(filepath.Join(s.Dir, name)) }
	store, err := mtls.Open(mtls.Config{CA: path("ca.crt"), Cert: own, Key: own, CRL: path("revoked.crl")}, mtls.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.server = mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	plain := freeAddress(t) // for the plant
	for _, err := range []error{
		s.server.AddHook(new(auth.AllowHook), nil),
		s.server.AddListener(listeners.NewTCP(listeners.Config{ID: "plain", Address: plain})),
		s.server.AddListener(listeners.NewTCP(listeners.Config{ID: "tls", Address: s.broker, TLSConfig: store.Server()})),
		s.server.Serve(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = mqttserver.Close(s.server) })
	s.plant = startPlant(t, plain, cell)
	s.service = s.Serve()
	s.enrol(life)
	return s
}

func (s *secured) enrol(life time.Duration) {
	s.t.Helper()
	s.SetLife(life)
	_, err := identity.Enroll(s.t.Context(), identity.Order{
		URL: s.service, Token: s.Token(cell.Group, cell.ID), Group: cell.Group, Node: cell.ID, Files: s.files,
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// cell is the configuration of the cell, which reads a file of one unit, 100 rows a second.
func (s *secured) cell(rows int) agent.Config {
	cfg := cellConfig(s.t, s.broker, csvOf(1, rows))
	cfg.MQTT.URL = "mqtts://" + s.broker
	pair := config.Path(s.files.Pair)
	cfg.MQTT.TLS = mtls.Config{CA: config.Path(s.files.CA), Cert: pair, Key: pair}
	cfg.MQTT.Enroll.URL = s.service
	cfg.Sources[0].Replay.Speed = 100
	return cfg
}

// kick ends the cell's connection, as a network would.
func (s *secured) kick() {
	for id, c := range s.server.Clients.GetAll() {
		if strings.HasPrefix(id, sparkplug.ClientPrefix(cell.Group, cell.ID)) {
			c.Stop(errors.New("kicked"))
		}
	}
}

// expectAll waits until the plant has every row, once, and compares them.
func (s *secured) expectAll(a *running, rows int, begin time.Time) {
	s.t.Helper()
	eventually(s.t, "all has arrived", func() bool { return s.rows() == rows })
	eventually(s.t, "the buffer is empty", func() bool { return a.metric("andon_buffer_rows") == "0" })
	s.checkRows(1, rows, begin)
	if len(s.lost) > 0 {
		s.t.Errorf("%d losses", len(s.lost))
	}
}

// refused kicks the cell until it does not come back, and returns why not.
func (s *secured) refused(a *running) (why string) {
	s.t.Helper()
	eventually(s.t, "the cell is refused", func() bool {
		s.kick()
		why = a.ready()["connected"]
		return strings.Contains(why, "does not accept our certificate")
	})
	return why
}

// TestNoReadingIsLostOverRenewalAndExpiry: an open connection outlives the renewal, the
// next one shows the new certificate; with an expired one the cell keeps what it reads
// until it has enrolled again.
func TestNoReadingIsLostOverRenewalAndExpiry(t *testing.T) {
	t.Parallel()
	const rows = 20_000 // more than there is time for
	s := securePlant(t, 12*time.Second)
	cfg := s.cell(rows)
	a := start(t, cfg)
	eventually(t, "readings arrive", func() bool { return s.rows() > 0 })
	eventually(t, "the certificate is renewed", func() bool { return a.figure(`andon_certificate_renewals_total{result="ok"}`) > 0 })
	if n := a.figure("andon_uplink_sessions_total"); n != 1 {
		t.Errorf("over the renewal there were %v sessions", n)
	}
	s.kick()
	eventually(t, "it connects with the new one", func() bool { return a.figure("andon_uplink_sessions_total") > 1 && a.ready()["connected"] == "" })

	s.SetFault(&enroll.Fault{Code: enroll.Unavailable, Error: "cannot sign now"})
	eventually(t, "it has expired", func() bool { return strings.Contains(a.ready()["certificate"], "the certificate expired at") })
	if why := s.refused(a); !strings.Contains(why, "it expired at") {
		t.Errorf("refused because %q", why)
	}
	eventually(t, "it keeps what it reads", func() bool { return a.figure("andon_buffer_rows") > 0 })
	s.SetFault(nil)
	eventually(t, "it is told that a token is needed", func() bool {
		return strings.Contains(a.log.String(), "enrol again with a new token: andon-agent enroll")
	})
	s.enrol(time.Hour)
	taken := a.figure("andon_buffer_appended_rows_total")
	eventually(t, "what it kept arrives", func() bool { return float64(s.rows()) > taken })
	if reasons := a.ready(); reasons["certificate"] != "" {
		t.Errorf("in the end it is not ready for %v", reasons)
	}
	a.stop()
	cfg.Sources[0].Replay.Speed = agent.MaxSpeed // the rest of the file
	s.expectAll(start(t, cfg), rows, cfg.Sources[0].Replay.Start)
}

// TestARevokedCellKeepsItsReadings until it has enrolled again.
func TestARevokedCellKeepsItsReadings(t *testing.T) {
	const rows = 500
	s := securePlant(t, time.Hour)
	cfg := s.cell(rows)
	a := start(t, cfg)
	eventually(t, "readings arrive", func() bool { return s.rows() > 0 })
	s.Revoke(s.held())
	if why := s.refused(a); !strings.Contains(why, "it is revoked, or of another authority") {
		t.Errorf("refused because %q", why)
	}
	eventually(t, "it keeps what it reads", func() bool { return a.figure("andon_buffer_rows") > 0 })
	s.enrol(time.Hour)
	s.expectAll(a, rows, cfg.Sources[0].Replay.Start)
}

// held returns the cell's certificate.
func (s *secured) held() *x509.Certificate {
	s.t.Helper()
	c := mtls.Config{CA: config.Path(s.files.CA), Cert: config.Path(s.files.Pair), Key: config.Path(s.files.Pair)}
	store, err := mtls.Open(c, mtls.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	return store.Leaf()
}

// TestClocksOfACell: one that is behind, none and one that is ahead. The last keeps the
// cell from connecting, and nothing of it is left when it is set.
func TestClocksOfACell(t *testing.T) {
	const rows = 20_000
	s := securePlant(t, time.Hour)
	cfg := s.cell(rows)
	var mu sync.Mutex
	var clock func() time.Time
	set := func(f func() time.Time) { mu.Lock(); defer mu.Unlock(); clock = f }
	cfg.SetClock(func() time.Time { mu.Lock(); defer mu.Unlock(); return clock() })
	// Ever further behind: for a clock that is set ahead between two starts the rest of the
	// file is due, and nothing of it would be left for the last one.
	for _, c := range []struct {
		name string
		off  time.Duration
	}{{"an hour behind", -time.Hour}, {"a day behind", -24 * time.Hour}, {"1970", -time.Since(time.Unix(0, 0))}} {
		set(func() time.Time { return time.Now().Add(c.off) })
		a := start(t, cfg)
		eventually(t, c.name+": it connects", func() bool { return a.ready()["connected"] == "" })
		if why := a.ready()["certificate"]; why != "" {
			t.Errorf("%s: %s", c.name, why)
		}
		a.stop()
	}
	set(func() time.Time { return time.Now().AddDate(10, 0, 0) })
	a := start(t, cfg)
	eventually(t, "ahead: the clock is named", func() bool {
		return strings.Contains(a.ready()["connected"], "set the clock here if it is wrong") &&
			strings.Contains(a.ready()["certificate"], "or set the clock if it is wrong")
	})
	eventually(t, "ahead: it keeps what it reads", func() bool { return a.figure("andon_buffer_rows") > 0 })
	sent, taken := s.rows(), a.figure("andon_buffer_appended_rows_total")
	set(time.Now)
	eventually(t, "once the clock is set: what it kept arrives", func() bool { return float64(s.rows()-sent) >= taken })
	if why := a.ready()["certificate"]; why != "" {
		t.Errorf("once the clock is set: %s", why)
	}
	a.stop()
	cfg.Sources[0].Replay.Speed = agent.MaxSpeed // the rest of the file
	s.expectAll(start(t, cfg), rows, cfg.Sources[0].Replay.Start)
}

// TestACellWithoutAClockRenews: its time runs on from the beginning of its certificate.
func TestACellWithoutAClockRenews(t *testing.T) {
	t.Parallel()
	s := securePlant(t, 15*time.Second)
	cfg := s.cell(400)
	cfg.SetClock(func() time.Time { return time.Unix(0, 0) })
	a := start(t, cfg)
	first := s.held()
	eventually(t, "it is renewed twice", func() bool { return a.figure(`andon_certificate_renewals_total{result="ok"}`) > 1 })
	if s.held().Equal(first) {
		t.Error("the certificate is the first one")
	}
	s.expectAll(a, 400, cfg.Sources[0].Replay.Start)
}

// TestCheckTellsOfTheCertificate: until when it is good, or that it is not.
func TestCheckTellsOfTheCertificate(t *testing.T) {
	s := securePlant(t, time.Hour)
	found := func() (agent.Finding, agent.Finding) {
		all, err := agent.Check(t.Context(), s.cell(1))
		if err != nil || len(all) < 2 {
			t.Fatal(all, err)
		}
		return all[len(all)-2], all[len(all)-1]
	}
	until := s.held().NotAfter.UTC().Format(time.RFC3339)
	if c, b := found(); c.Name != "certificate" || c.Err != nil || !strings.HasPrefix(c.Note, "good until "+until+", renewed at ") || b.Err != nil {
		t.Errorf("found %+v, %+v", c, b)
	}
	s.enrol(10 * time.Millisecond)
	time.Sleep(time.Until(s.held().NotAfter.Add(time.Second))) // its life
	if c, b := found(); c.Err == nil || !strings.Contains(c.Err.Error(), "the certificate expired at") || b.Err == nil {
		t.Errorf("found %+v, %+v", c, b)
	}
}

// TestAFolderWithoutCertificates says how to get them.
func TestAFolderWithoutCertificates(t *testing.T) {
	cfg := cellConfig(t, freeAddress(t), csvOf(1, 1))
	cfg.MQTT.URL = strings.Replace(cfg.MQTT.URL, "tcp:", "mqtts:", 1)
	none := config.Path(filepath.Join(t.TempDir(), "tls", "cell.pem"))
	cfg.MQTT.TLS = mtls.Config{CA: none, Cert: none, Key: none}
	cfg.MQTT.Enroll.URL = "https://127.0.0.1:1"
	a, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var hint interface{ Hint() string }
	if err := a.Open(); err == nil || !asHint(err, &hint) || !strings.Contains(hint.Hint(), "andon-agent enroll --config") {
		t.Errorf("open: %v", err)
	}
}
