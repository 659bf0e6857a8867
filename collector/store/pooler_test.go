package store_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	osexec "os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"andon.internal/collector/store"
	"andon.internal/shared/freeport"
	"andon.internal/shared/telemetry"
)

// pooled starts PgBouncer in transaction mode before the fixture's database and
// returns the DSN through it. Fewer server connections than clients make sure that
// a session is not one server session.
func pooled(t *testing.T, dsn string) string {
	program, err := osexec.LookPath("pgbouncer")
	if err != nil {
		program, err = osexec.LookPath("/usr/sbin/pgbouncer") // not in everyone's PATH
	}
	if err != nil {
		t.Fatal("pgbouncer is not installed; install it with: apt-get install pgbouncer")
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	port, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "andon-pooler-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	password, _ := u.User.Password()
	ini := filepath.Join(dir, "pooler.ini")
	text := fmt.Sprintf("[databases]\n* = host=127.0.0.1 port=%s user=%s password=%s\n[pgbouncer]\nlisten_addr=127.0.0.1\n"+
		"listen_port=%d\nauth_type=any\nunix_socket_dir=\npool_mode=transaction\ndefault_pool_size=2\n",
		u.Port(), u.User.Username(), password, port)
	if err := os.WriteFile(ini, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := osexec.Command(program, ini)
	cmd.Stderr = t.Output()
	if os.Geteuid() == 0 { // it refuses to run as root
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		u, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("pgbouncer does not listen")
		}
	}
	u.Host = fmt.Sprintf("127.0.0.1:%d", port)
	return u.String()
}

func TestThroughTransactionPooler(t *testing.T) {
	f := &fixture{tb: t, dsn: newDatabase(t)}
	through := pooled(t, f.dsn)
	open := func() *store.Store { return f.open(func(c *store.Config) { c.DSN = through }) }
	var wg sync.WaitGroup
	for range 2 {
		s := open()
		wg.Go(func() {
			if err := s.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	f.s = open()
	var ok bool
	var err error
	if f.lease, ok, err = f.s.AcquireLease(t.Context(), "intake", "test", time.Minute); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for w := range 4 {
		wg.Go(func() {
			for p := range uint64(10) {
				e := with(entry(epoch(1), p, 3), func(e *store.Entry, r *telemetry.Record) {
					e.Node.ID = fmt.Sprintf("cell-%d", w)
					r.Unit = e.Node.ID
				})
				r, err := f.s.Commit(context.Background(), f.lease, []store.Entry{e, e})
				if err != nil || outcomes(r) != "committed duplicate" {
					t.Errorf("writer %d: %s, %v", w, outcomes(r), err)
				}
			}
		})
	}
	wg.Wait()
	f.sync(store.ChainEpoch{Epoch: epoch(1)})
	if r, ok, err := f.s.Latest(t.Context(), node.Group, "cell-3"); !ok || err != nil || r.Position != 9 {
		t.Errorf("latest %+v, %v, %v", r, ok, err)
	}
	if a, err := f.s.Audit(t.Context(), store.AuditFilter{}); err != nil || len(a.Runs) != 4 {
		t.Errorf("audit of %d runs, %v", len(a.Runs), err)
	}
	if got := one(t, f.dsn, `SELECT count(*) FROM reading_mixed`); got != "120" {
		t.Errorf("%s rows, want 120", got)
	}
	f.s.Close()
}
