package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/pgserver"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"andon-collector": main})
}

// TestScripts runs the command as people do, with a broker and a PostgreSQL at hand:
// each script finds a collector.yaml that names the broker and a database of its own.
func TestScripts(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pg, err := pgserver.Start(ctx, pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Remove(); err != nil {
			t.Error(err)
		}
	})
	broker := edgetest.StartBroker(t)
	var databases atomic.Int64
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("BROKER", broker.URL())
			name := fmt.Sprint("script", databases.Add(1))
			e.Setenv("DSN", pg.DatabaseDSN(name))
			ctx := context.Background() // the scripts run when this test's function has returned
			conn, err := pgx.Connect(ctx, pg.DSN())
			if err != nil {
				return err
			}
			defer conn.Close(ctx)
			if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
				return err
			}
			config := fmt.Sprintf(`mqtt: {url: %q}
database: {dsn: %q}
http: {listen: "127.0.0.1:0"}
`, broker.URL(), pg.DatabaseDSN(name))
			return os.WriteFile(filepath.Join(e.WorkDir, "collector.yaml"), []byte(config), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// node sends the births of a node and a record, and waits until
			// the record is acknowledged; node! does not wait.
			"node": func(ts *testscript.TestScript, neg bool, args []string) {
				n := edgetest.NewNode("line1", "cell")
				c := edgetest.Dial(t, broker.URL(), n)
				defer c.Close()
				again := func() {
					c.Send(n.Birth(), n.UnitBirth("unit-1", 1, false),
						n.DataAt(0, n.Reading("unit-1", time.Now().UnixNano(), time.Now().UnixNano(), 0, 1), false))
				}
				again()
				if !neg {
					c.Until("acknowledgement", func() bool {
						if c.TakeRebirth() {
							again()
						}
						return c.Acked().Contains(0)
					})
				}
			},
			// sql runs statements as a superuser in the script's database.
			"sql": func(ts *testscript.TestScript, _ bool, args []string) {
				conn, err := pgx.Connect(context.Background(), ts.Getenv("DSN"))
				ts.Check(err)
				defer conn.Close(context.Background())
				_, err = conn.Exec(context.Background(), args[0])
				ts.Check(err)
			},
			// retained waits until a message is retained under a topic.
			"retained": func(ts *testscript.TestScript, _ bool, args []string) {
				for limit := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
					if _, ok := broker.Retained(args[0]); ok {
						return
					}
					if time.Now().After(limit) {
						ts.Fatalf("nothing is retained under %s", args[0])
					}
				}
			},
			// subscribed waits until a watch has subscribed a filter.
			"subscribed": func(ts *testscript.TestScript, _ bool, args []string) {
				for limit := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
					for _, p := range broker.Packets("andon-host-") {
						if p.Kind == "SUBSCRIBE" && p.Topic == args[0] {
							return
						}
					}
					if time.Now().After(limit) {
						ts.Fatalf("nobody subscribes %s", args[0])
					}
				}
			},
		},
	})
	http.DefaultClient.CloseIdleConnections()
}
