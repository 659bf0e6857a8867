package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"andon.internal/collector"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/pgserver"
)

// TestHealth runs the command on a plant of its own, for its exit codes.
func TestHealth(t *testing.T) {
	t.Parallel()
	pg, err := pgserver.Start(t.Context(), pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Remove(); err != nil {
			t.Error(err)
		}
	})
	broker := edgetest.StartBroker(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plant := write("collector.yaml", "mqtt: {url: '"+broker.URL()+"'}\ndatabase: {dsn: '"+pg.DSN()+"'}\nroles: [intake]\n")
	token := write("token", "s3cret\n")

	// expect runs the command until it has its exit code, and writes what it must.
	expect := func(code int, want string, args ...string) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; {
			var out, errs bytes.Buffer
			got := run(append([]string{"health"}, args...), &out, &errs)
			if code != 2 && errs.Len() > 0 {
				t.Errorf("health %q writes errors: %s", args, &errs)
			}
			if got == code && strings.Contains(out.String()+errs.String(), want) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("health %q gives %d, want %d with %q\n%s%s", args, got, code, want, &out, &errs)
			}
		}
	}
	expect(2, "andon-collector migrate", "--config", plant)

	stop := startCollector(t, plant)
	expect(0, "HEALTHY ", "--config", plant)
	expect(0, `"state": "healthy"`, "--config", plant, "--json")

	n := edgetest.NewNode("line1", "cell-01")
	c := edgetest.Dial(t, broker.URL(), n)
	c.Send(n.Birth())
	c.WaitSync()
	expect(1, "line1/cell-01 is silent", "--config", plant)
	expect(0, "HEALTHY ", "--config", plant, "--retired", "line1/cell-01,line1/cell-02")
	stop()
	expect(2, "DOWN ", "--config", plant, "--retired", "line1/cell-01")

	// What cannot be looked at is not well either.
	expect(2, "missing flags: --config=FILE or --url=URL")
	expect(2, "can't be used together", "--config", plant, "--url", "https://a.example.com")
	expect(2, "none.yaml", "--config", "none.yaml")
	expect(2, "load profiles", "--config", write("bad.yaml", "database: {dsn: x}\nprofiles: [none.yaml]\n"))
	expect(2, "must begin with https://", "--url", "http://a.example.com")
	expect(2, "read secret: ", "--url", "https://127.0.0.1:1", "--token-file", "none")
	expect(2, "connection refused", "--url", "https://127.0.0.1:1", "--token-file", token)
}

// startCollector runs a collector until stop is called, and returns when it is ready.
func startCollector(t *testing.T, config string) (stop func()) {
	t.Helper()
	c, err := collector.Load(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	col, err := collector.Open(ctx, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- col.Run(ctx) }()
	ready := func() bool {
		response, err := http.Get("http://" + col.HTTPAddr() + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	}
	for limit := time.Now().Add(30 * time.Second); !ready(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the collector is not ready")
		}
	}
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the collector ended with %v", err)
		}
	}
}

// TestHealthThatIsEndedIsNotHealthy ends the command while it waits for a database that
// takes the connection and says nothing.
func TestHealthThatIsEndedIsNotHealthy(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	asked := make(chan error, 1)
	go func() {
		_, err := silent.Accept()
		asked <- errors.Join(err, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	}()
	at := silent.Addr().String()
	config := filepath.Join(t.TempDir(), "collector.yaml")
	if err := os.WriteFile(config, []byte("mqtt: {url: 'tcp://"+at+"'}\ndatabase: {dsn: 'postgres://x@"+at+"/x'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"health", "--config", config}, &out, &errs); code != 2 || out.Len() > 0 {
		t.Errorf("code %d, want 2 without a report\n%s%s", code, &out, &errs)
	}
	if err := <-asked; err != nil {
		t.Error(err)
	}
}
