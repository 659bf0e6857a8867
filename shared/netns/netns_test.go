package netns_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"andon.internal/shared/netns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEmptyIsHere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := netns.Dialer("")(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestNoSuchNamespace(t *testing.T) {
	ran := false
	err := netns.Do("/run/netns/no-such-namespace", func() error { ran = true; return nil })
	if !errors.Is(err, fs.ErrNotExist) || ran {
		t.Errorf("error %v, ran %v", err, ran)
	}
}

// TestInAnother: in a fresh namespace nothing of ours listens, and what is started there
// listens there alone.
func TestInAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: it makes a network namespace")
	}
	name := "andon-test-" + strconv.Itoa(os.Getpid())
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	ip("netns", "add", name)
	t.Cleanup(func() { ip("netns", "del", name) })
	ip("-n", name, "link", "set", "lo", "up")
	path := "/run/netns/" + name

	var there net.Listener
	err := netns.Do(path, func() (err error) {
		there, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	conn, err := netns.Dialer(path)(t.Context(), "tcp", there.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", there.Addr().String()); err == nil {
		conn.Close()
		t.Error("a port of the namespace is reached from outside")
	}
	var links []byte
	if err := netns.Do(path, func() (err error) {
		links, err = exec.Command("ip", "-o", "link").Output()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(links), "\n"); n != 1 || !strings.Contains(string(links), "lo:") {
		t.Errorf("a process started there sees:\n%s", links)
	}
}
