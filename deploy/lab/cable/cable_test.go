package cable_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"andon.internal/lab/cable"
)

// echo serves lines back until the test ends.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func open(t *testing.T) *cable.Cable {
	t.Helper()
	c, err := cable.Open("cell-01", "127.0.0.1:0", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func dial(t *testing.T, c *cable.Cable) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", c.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// say returns the answer to a line, or the error that came instead within wait.
func say(conn net.Conn, wait time.Duration) (string, error) {
	if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte("hello\n")); err != nil {
		return "", err
	}
	return bufio.NewReader(conn).ReadString('\n')
}

func expectAnswer(t *testing.T, conn net.Conn) {
	t.Helper()
	if got, err := say(conn, 5*time.Second); err != nil || got != "hello\n" {
		t.Fatalf("answer %q, %v", got, err)
	}
}

func TestCutClosesAndRefuses(t *testing.T) {
	c := open(t)
	conn, addr := dial(t, c), c.Addr()
	expectAnswer(t, conn)
	if err := c.Cut(cable.Cut); err != nil {
		t.Fatal(err)
	}
	if _, err := say(conn, 5*time.Second); err == nil || errors.Is(err, errDeadline(err)) {
		t.Errorf("after the cut: %v, want a closed connection", err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("a new connection was accepted")
	}
	if err := c.Cut(cable.Silent); !errors.Is(err, cable.ErrState) {
		t.Errorf("second cut: %v, want ErrState", err)
	}
	if err := c.Heal(); err != nil {
		t.Fatal(err)
	}
	if c.Addr() != addr || c.State() != cable.Whole {
		t.Errorf("healed at %s (%s), was at %s", c.Addr(), c.State(), addr)
	}
	expectAnswer(t, dial(t, c))
	if err := c.Heal(); !errors.Is(err, cable.ErrState) {
		t.Errorf("second heal: %v, want ErrState", err)
	}
}

func errDeadline(err error) error {
	var n net.Error
	if errors.As(err, &n) && n.Timeout() {
		return err
	}
	return errors.New("no deadline passed")
}

func TestSilentCutTellsNobody(t *testing.T) {
	c := open(t)
	conn := dial(t, c)
	expectAnswer(t, conn)
	if err := c.Cut(cable.Silent); err != nil {
		t.Fatal(err)
	}
	if _, err := say(conn, 50*time.Millisecond); !errors.Is(err, errDeadline(err)) {
		t.Errorf("while silent: %v, want nothing until the deadline", err)
	}
	late := dial(t, c) // a new connection is as silent
	if _, err := say(late, 50*time.Millisecond); !errors.Is(err, errDeadline(err)) {
		t.Errorf("new while silent: %v, want nothing until the deadline", err)
	}
	if err := c.Heal(); err != nil {
		t.Fatal(err)
	}
	if _, err := say(conn, 5*time.Second); err == nil {
		t.Error("the connection from before the cut works as if nothing was lost")
	}
	expectAnswer(t, dial(t, c))
}

// TestDeafPassesOneWay counts what arrives at the far end while nothing comes back.
func TestDeafPassesOneWay(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := cable.Open("cell-01", "127.0.0.1:0", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	near := dial(t, c)
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if err := c.Cut(cable.Deaf); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Write([]byte("gone\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := say(near, 50*time.Millisecond); !errors.Is(err, errDeadline(err)) {
		t.Errorf("the deaf end heard something: %v", err)
	}
	if err := far.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(far).ReadString('\n'); err != nil || got != "hello\n" {
		t.Errorf("the far end heard %q, %v", got, err)
	}
	if err := c.Cut("tangled"); err == nil {
		t.Error("no error for a cut of no kind")
	}
	if err := c.Heal(); err != nil {
		t.Fatal(err)
	}
	if _, err := say(near, 5*time.Second); err == nil || errors.Is(err, errDeadline(err)) {
		t.Errorf("after the healing: %v, want a closed connection", err)
	}
}

func TestLimitSlows(t *testing.T) {
	c := open(t)
	if err := c.Limit(100); err != nil {
		t.Fatal(err)
	}
	send := func() time.Duration {
		conn, begun := dial(t, c), time.Now()
		go func() { _, _ = conn.Write(make([]byte, 30_000)) }()
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 30_000)); err != nil {
			t.Fatal(err)
		}
		return time.Since(begun)
	}
	if took := send(); took < 200*time.Millisecond {
		t.Errorf("30 kB at 100 kB/s took %v", took)
	}
	if err := c.Limit(0); err != nil {
		t.Fatal(err)
	}
	took := send()
	for n := 0; n < 20 && took > 200*time.Millisecond; n++ {
		took = min(took, send()) // the machine may stand still, but not each time
	}
	if took > 200*time.Millisecond {
		t.Errorf("30 kB without a limit took %v", took)
	}
}

func TestLimitOutlivesACut(t *testing.T) {
	c := open(t)
	if err := c.Limit(100); err != nil {
		t.Fatal(err)
	}
	if err := c.Cut(cable.Silent); err != nil {
		t.Fatal(err)
	}
	if err := c.Heal(); err != nil {
		t.Fatal(err)
	}
	expectAnswer(t, dial(t, c))
	if err := c.Limit(0); err != nil {
		t.Errorf("lift the limit: %v", err)
	}
}
