package agent_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// relay is the way from a cell to its broker, which can hang: connections stay open, and
// nothing more goes through.
type relay struct {
	net.Listener
	mu   sync.Mutex
	hung bool
	all  []net.Conn
}

func startRelay(t testing.TB, broker string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: l}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", broker)
			if err != nil {
				in.Close()
				continue
			}
			r.mu.Lock()
			r.all = append(r.all, in, out)
			r.mu.Unlock()
			done.Go(func() { r.pass(in, out) })
			done.Go(func() { r.pass(out, in) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.mu.Lock()
		for _, c := range r.all {
			c.Close()
		}
		r.mu.Unlock()
		done.Wait()
	})
	return r
}

func (r *relay) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	_, _ = io.Copy(to, readWhile{from, r})
}

// readWhile drops what comes while the relay hangs.
type readWhile struct {
	net.Conn
	r *relay
}

func (c readWhile) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.r.hangs() {
			return n, err
		}
	}
}

func (r *relay) hangs() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hung
}

func (r *relay) hang(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hung = on
}
