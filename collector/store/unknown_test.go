package store_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"andon.internal/collector/store"
)

// cutter passes TCP on to the server, and once armed drops the connection on which
// a COMMIT is answered, before the answer gets through.
type cutter struct {
	net.Listener
	armed atomic.Bool
	cut   atomic.Int64
	wg    sync.WaitGroup
}

func newCutter(t *testing.T) *cutter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l}
	c.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.wg.Go(func() { c.pass(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); c.wg.Wait() })
	return c
}

func (c *cutter) pass(client net.Conn) {
	defer client.Close()
	up, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", server.Port()))
	if err != nil {
		return
	}
	defer up.Close()
	var committing atomic.Bool
	c.wg.Go(func() {
		b := make([]byte, 1<<20)
		for {
			n, err := client.Read(b)
			if c.armed.Load() && strings.Contains(string(b[:n]), "COMMIT\x00") {
				committing.Store(true)
			}
			if _, werr := up.Write(b[:n]); err != nil || werr != nil {
				up.Close()
				return
			}
		}
	})
	b := make([]byte, 1<<16)
	for {
		n, err := up.Read(b)
		if err != nil || committing.Load() {
			c.cut.Add(1)
			return
		}
		if _, err := client.Write(b[:n]); err != nil {
			return
		}
	}
}

func TestUnknownCommitIsRecognised(t *testing.T) {
	f := setUp(t)
	proxy := newCutter(t)
	f.s = f.open(func(c *store.Config) {
		c.DSN = strings.Replace(f.dsn, fmt.Sprintf(":%d/", server.Port()), ":"+strings.Split(proxy.Addr().String(), ":")[1]+"/", 1)
	})
	e := epoch(1)
	f.commit(entry(e, 0, 1))
	proxy.armed.Store(true)
	_, err := f.s.Commit(t.Context(), f.lease, []store.Entry{entry(e, 1, 2)})
	var retry *store.RetryError
	if !errors.As(err, &retry) || !retry.Unknown {
		t.Fatalf("error %v, want one that says the outcome is unknown", err)
	}
	proxy.armed.Store(false)
	if got := f.ledger(e); got != "{[0,2)}|{}|{}|0" {
		t.Fatalf("the cut came too early: ledger %s", got)
	}
	if got := f.commit(entry(e, 1, 2), entry(e, 2, 1)); got != "duplicate committed" {
		t.Errorf("repeat: %s", got)
	}
	if got := len(f.stored()); got != 4 {
		t.Errorf("%d rows, want 4", got)
	}
	f.s.Close()
}

func TestWarningOnCommitIsUnknown(t *testing.T) {
	f := setUp(t)
	e := epoch(1)
	f.commit(entry(e, 0, 1))
	exec(t, f.dsn, `CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS
 $$BEGIN RAISE WARNING 'canceling wait for synchronous replication'; RETURN NULL; END$$`,
		`CREATE CONSTRAINT TRIGGER warn AFTER INSERT ON reading_mixed DEFERRABLE INITIALLY DEFERRED
 FOR EACH ROW EXECUTE FUNCTION warn()`)
	_, err := f.s.Commit(t.Context(), f.lease, []store.Entry{entry(e, 1, 1)})
	var retry *store.RetryError
	if !errors.As(err, &retry) || !retry.Unknown || !strings.Contains(err.Error(), "synchronous replication") {
		t.Fatalf("error %v, want one that says the outcome is unknown", err)
	}
	if got := f.commit(entry(e, 1, 1)); got != "duplicate" {
		t.Errorf("repeat: %s", got)
	}
}
