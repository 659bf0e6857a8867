package local_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon.internal/agent/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers "well" in dir until the test, or stop, ends it.
func serve(t *testing.T, dir string) (stop func()) {
	t.Helper()
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "well") })
	s, err := local.Listen(dir, h, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func ask(dir string) (string, error) {
	r, err := local.Client(dir).Get("http://agent/")
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

func wantAnswer(t *testing.T, dir string) {
	t.Helper()
	if got, err := ask(dir); got != "well" || err != nil {
		t.Errorf("answers %q, %v", got, err)
	}
}

func TestOnlyTheOwnerMayConnectAndNothingStays(t *testing.T) {
	dir := t.TempDir()
	stop := serve(t, dir)
	wantAnswer(t, dir)
	info, err := os.Lstat(filepath.Join(dir, local.Name))
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("in the folder: %v", list)
	}
	stop()
	if list, _ := os.ReadDir(dir); len(list) != 0 {
		t.Errorf("after the stop: %v", list)
	}
	if _, err := ask(dir); err == nil {
		t.Error("it answers after the stop")
	}
}

func TestAPathTooLongForASocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	stop := serve(t, dir)
	wantAnswer(t, dir)
	stop()
	if list, _ := os.ReadDir(dir); len(list) != 0 {
		t.Errorf("after the stop: %v", list)
	}
}

func TestALeftOverIsReplacedAndAFileIsNot(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, local.Name)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as after a crash
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	stop := serve(t, dir)
	wantAnswer(t, dir)
	stop()

	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Listen(dir, http.NotFoundHandler(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("over a file: %v", err)
	}
	if b, err := os.ReadFile(path); string(b) != "mine" {
		t.Errorf("the file is %q, %v", b, err)
	}
}

// TestHostileInput: what is no request, too long, or never ends, is cut off, and honest
// askers are answered.
func TestHostileInput(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir)
	huge := "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 1<<20)
	for name, text := range map[string]string{
		"garbage": string(bytes.Repeat([]byte{0, 0xff, '\n'}, 10_000)),
		"huge":    huge,
		"body":    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n" + strings.Repeat("y", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("unix", filepath.Join(dir, local.Name))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, text) // may be cut off
			if n, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("it is not cut off; %d bytes came", n)
			}
			wantAnswer(t, dir)
		})
	}
	// As many as are served, that say nothing: the next waits until they are cut off.
	for range 20 {
		c, err := net.Dial("unix", filepath.Join(dir, local.Name))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	var got string
	for begin := time.Now(); got == "" && time.Since(begin) < 30*time.Second; {
		got, _ = ask(dir)
	}
	if got != "well" {
		t.Error("those who say nothing keep others out")
	}
}
