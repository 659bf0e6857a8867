package collector_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"andon.internal/collector"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/pgserver"
	"andon.internal/shared/sparkplug"
)

// ownServer starts a PostgreSQL for one test that ends and starts it.
func ownServer(t *testing.T) *pgserver.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := pgserver.Start(ctx, pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Remove(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func restart(t *testing.T, s *pgserver.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestDatabaseIsKilledAndComesBack(t *testing.T) {
	broker, pg := edgetest.StartBroker(t), ownServer(t)
	r := start(t, broker, pg.DSN())
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	send(c, 20, 2)
	c.WaitAcked(20)
	for range 2 {
		if err := pg.Kill(); err != nil {
			t.Fatal(err)
		}
		before := c.Node.Next
		send(c, 20, 2)
		c.WaitDatabase(sparkplug.DBDown)
		if code, body := r.get("/readyz"); code != http.StatusServiceUnavailable {
			t.Errorf("ready without a database: %s", body)
		}
		if code, _ := r.get("/healthz"); code != http.StatusOK {
			t.Error("a lost database makes the collector unhealthy")
		}
		if got := c.Acked(); got.Len() != before {
			t.Fatalf("acknowledged %v without a database", got)
		}
		restart(t, pg)
		// What was received in the meantime is committed without being sent again.
		c.WaitAcked(c.Node.Next)
		c.WaitDatabase(sparkplug.DBOK)
	}
	r.waitReady()
	wantExact(t, pg.DSN(), c.Node, 60, 2)
}

// TestReadingsCannotBeWrittenThoughTheLeaseIsRenewed: to the cells that is no database.
func TestReadingsCannotBeWrittenThoughTheLeaseIsRenewed(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	send(c, 5, 1)
	c.WaitAcked(5)
	release := lock(t, dsn, "reading_dyno")
	send(c, 5, 1)
	c.WaitDatabase(sparkplug.DBDown)
	told := len(c.Acks())
	expires := func() string { return query(t, dsn, `SELECT expires_at FROM lease WHERE name = 'intake'`)[0] }
	for range 2 {
		before := expires()
		send(c, 1, 1)
		eventually(t, "a renewal of the lease", func() bool { return expires() != before })
	}
	later := c.Acks()[told:]
	for _, a := range later {
		if a.DB != sparkplug.DBDown {
			t.Fatalf("of %d acknowledgements behind the first that said that the database is away, one says that it is %v", len(later), a.DB)
		}
	}
	if up, held := r.metric("andon_intake_database_up"), r.metric("andon_intake_lease_held"); up != "0" || held != "1" {
		t.Errorf("database_up is %s and lease_held %s", up, held)
	}
	if code, body := r.get("/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("ready without a database: %s", body)
	}
	if got := c.Acked().String(); got != "[0,5)" {
		t.Errorf("acknowledged %s", got)
	}
	release()
	c.WaitAcked(c.Node.Next)
	c.WaitDatabase(sparkplug.DBOK)
	r.waitReady()
	wantExact(t, dsn, c.Node, c.Node.Next, 1)
}

func TestDatabaseIsAwayAtTheStart(t *testing.T) {
	broker, pg := edgetest.StartBroker(t), ownServer(t)
	if err := pg.Stop(); err != nil {
		t.Fatal(err)
	}
	r := start(t, broker, pg.DSN())
	c := edgetest.Dial(t, broker.URL(), newNode("cell"))
	eventually(t, "STATE online", func() bool {
		text, _ := broker.Retained("spBv1.0/STATE/andon")
		s, err := sparkplug.ParseState([]byte(text))
		return err == nil && s.Online
	})
	births(c)
	send(c, 10, 2)
	c.WaitDatabase(sparkplug.DBDown)
	if got := c.Acked(); !got.Empty() {
		t.Fatalf("acknowledged %v without a database", got)
	}
	restart(t, pg)
	c.WaitSync()
	c.WaitAcked(10)
	r.waitReady()
	wantExact(t, pg.DSN(), c.Node, 10, 2)
}

func TestRunWaitsForTheMigration(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn, func(c *collector.Config) { c.Database.Migrate = false })
	c := edgetest.Dial(t, broker.URL(), newNode("cell"))
	eventually(t, "connection", func() bool { return r.metric("andon_host_connected") == "1" })
	births(c)
	c.WaitDatabase(sparkplug.DBDown)
	cfg := collector.DefaultConfig()
	cfg.Database.DSN = dsn
	for range 2 { // it may be repeated
		if err := collector.Migrate(context.Background(), cfg, discard); err != nil {
			t.Fatal(err)
		}
	}
	send(c, 3, 1)
	c.WaitDatabase(sparkplug.DBOK)
	deliver(c, 3, 1)
	wantExact(t, dsn, c.Node, 3, 1)
}

func TestBrokerRestarts(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	send(c, 10, 1)
	c.WaitAcked(10)
	broker.Stop()
	eventually(t, "notice of the broker's end", func() bool { code, _ := r.get("/readyz"); return code != http.StatusOK })
	broker.Start()
	r.waitReady()
	if text, ok := broker.Retained("spBv1.0/STATE/andon"); !ok {
		t.Errorf("STATE is not said again: %q", text)
	}
	c.Reconnect(broker.URL())
	births(c)
	c.WaitSync()
	send(c, 10, 1)
	deliver(c, 20, 1)
	wantExact(t, dsn, c.Node, 20, 1)
}

func TestCollectorConnectsAnewWhenOnlyItsConnectionIsLost(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	send(c, 10, 1)
	c.WaitAcked(10)
	asked := c.Rebirths()
	broker.Drop("andon-host-")
	send(c, 10, 1) // part of it into nothing
	c.WaitRebirth(asked)
	births(c)
	deliver(c, 20, 1)
	wantExact(t, dsn, c.Node, 20, 1)
}

func TestSecondCollectorTakesOver(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	first := start(t, broker, dsn)
	first.waitReady()
	second := start(t, broker, dsn)
	eventually(t, "the second to stand by", func() bool {
		_, body := second.get("/readyz")
		return contains(body, "another collector holds the intake lease") && second.metric("andon_host_connected") == "1"
	})
	c := dial(t, broker, newNode("cell"))
	send(c, 20, 1)
	c.WaitAcked(20)
	if got := second.metric("andon_intake_acks_total"); got != "0" {
		t.Errorf("the standby sent %s acknowledgements", got)
	}
	asked := c.Rebirths()
	held := query(t, dsn, `SELECT token FROM lease WHERE name = 'intake'`)
	first.stop()
	if got := query(t, dsn, `SELECT 1 FROM lease WHERE name = 'intake' AND token = $1::text::bigint AND expires_at > clock_timestamp()`, held[0]); len(got) > 0 {
		t.Error("who stops does not give the lease back")
	}
	c.WaitRebirth(asked)
	births(c)
	send(c, 20, 1)
	deliver(c, 40, 1)
	second.waitReady()
	wantExact(t, dsn, c.Node, 40, 1)
}

// TestLeaseIsLostWhileAtWork: a collector that finds another at work stops writing
// and stands by, although nobody told it.
func TestLeaseIsLostWhileAtWork(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	send(c, 5, 1)
	c.WaitAcked(5)
	exec(t, dsn, `UPDATE lease SET holder = 'somebody', token = token + 1, expires_at = now() + interval '10 minutes'`)
	send(c, 5, 1)
	eventually(t, "standby", func() bool {
		_, body := r.get("/readyz")
		return contains(body, "another collector holds the intake lease")
	})
	if got := c.Acked().String(); got != "[0,5)" {
		t.Errorf("acknowledged %s without the lease", got)
	}
	if got := r.metric("andon_intake_queue_bytes"); got != "0" {
		t.Errorf("a standby keeps %s bytes", got)
	}
	exec(t, dsn, `UPDATE lease SET expires_at = now()`)
	deliver(c, 10, 1) // when the somebody's lease has run out
	r.waitReady()
	wantExact(t, dsn, c.Node, 10, 1)
}

// TestRestoredDatabase: what was acknowledged may be gone, so every node is asked,
// and the sync tells it what there is.
func TestRestoredDatabase(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	send(c, 10, 1)
	c.WaitAcked(10)
	asked := c.Rebirths()
	// A backup from before the readings.
	exec(t, dsn, `UPDATE epoch_of_database SET id = gen_random_uuid(); UPDATE ledger SET committed = '{}'; TRUNCATE reading_dyno`)
	c.Forget()
	send(c, 1, 1)
	c.WaitRebirth(asked)
	births(c)
	c.WaitSync()
	if got := c.Acked().String(); got != "[10,11)" {
		t.Errorf("the sync says %v of a database that has one record", got)
	}
	deliver(c, 11, 1) // a node that retains sends it again
	wantExact(t, dsn, c.Node, 11, 1)
}

// TestRestoredDatabaseOfAnIdlePlant: it is found although no node says anything.
func TestRestoredDatabaseOfAnIdlePlant(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	start(t, broker, dsn).waitReady()
	c := dial(t, broker, newNode("cell"))
	send(c, 3, 1)
	c.WaitAcked(3)
	asked := c.Rebirths()
	exec(t, dsn, `UPDATE epoch_of_database SET id = gen_random_uuid()`)
	c.WaitRebirth(asked)
}

func TestStopFinishesWhatIsUnderWay(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	r := start(t, broker, dsn)
	r.waitReady()
	c := dial(t, broker, newNode("cell"))
	c.WaitSync()
	release := lock(t, dsn, "ledger")
	send(c, 5, 1)
	eventually(t, "a commit under way", func() bool {
		return len(query(t, server.DSN(), `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = $1`, databaseOf(dsn))) > 0
	})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.stop()
	}()
	release()
	<-stopped
	c.Until("an acknowledgement", func() bool { return !c.Acked().Empty() })
	stored := query(t, dsn, `SELECT count(*) FROM reading_dyno`)
	if got := c.Acked().Len(); stored[0] != fmtUint(got) {
		t.Errorf("%s readings are stored and %d acknowledged", stored[0], got)
	}
}
