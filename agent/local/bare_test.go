package local_test

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"andon.internal/agent/local"
)

// TestWithoutAFile: an agent answers for a folder in which no socket can be made, to its own
// user and root, and to nobody else.
func TestWithoutAFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: it asks as another user")
	}
	dir := filepath.Join(t.TempDir(), "missing")
	if local.Answers(t.Context(), dir) {
		t.Fatal("somebody answers before")
	}
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	s, err := local.ListenBare(dir, hello, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := local.ListenBare(dir, hello, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("two agents answer for one folder")
	}
	done := make(chan error, 1)
	ctx, stop := t.Context(), s.Close
	go func() { done <- s.Run(ctx) }()
	resp, err := local.Client(dir).Get("http://agent/")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "hello" || err != nil {
		t.Errorf("it says %q, %v", b, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	if got := askAs(t, 65534, local.BareAddress(dir)); got != "" {
		t.Errorf("another user is told %q", got)
	}
	if got := askAs(t, 0, local.BareAddress(dir)); got == "" {
		t.Error("root is not answered")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	<-done // its listener is gone
	if local.Answers(t.Context(), dir) {
		t.Error("somebody answers after the end")
	}
}

// askAs asks as another user and returns the answer, empty where the connection is closed.
func askAs(t *testing.T, uid int, address string) string {
	t.Helper()
	answer := make(chan string, 1)
	go func() {
		runtime.LockOSThread() // ends with the goroutine: it has another user
		defer close(answer)
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); e != 0 {
			t.Error(e)
			return
		}
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: address}); err != nil {
			t.Error(err)
			return
		}
		_, _ = unix.Write(fd, []byte("GET / HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")) // may be closed already
		b := make([]byte, 4096)
		n, _ := unix.Read(fd, b)
		answer <- string(b[:max(n, 0)])
	}()
	return <-answer
}
