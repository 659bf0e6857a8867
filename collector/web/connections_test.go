package web_test

import (
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"andon.internal/collector/web"
)

// TestConnectionsAreBounded in all and of one address, and have a place again when one ends.
func TestConnectionsAreBounded(t *testing.T) {
	for name, tt := range map[string]struct{ total, each, want int }{
		"in all": {3, 9, 3}, "of one address": {9, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var refused atomic.Int64
			l := web.Bounded(inner, tt.total, tt.each, func(netip.Addr) bool { return false }, func() { refused.Add(1) })
			taken := make(chan net.Conn, 10)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					taken <- c
				}
			}()
			defer func() { l.Close(); <-done }()
			dial := func() net.Conn {
				c, err := net.Dial("tcp", inner.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				return c
			}
			var in []net.Conn
			for range tt.want {
				dial()
				in = append(in, <-taken)
			}
			turnedAway := func() bool {
				c := dial()
				_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
				_, err := c.Read(make([]byte, 1))
				return err == io.EOF
			}
			if !turnedAway() || refused.Load() != 1 {
				t.Fatalf("connection %d is taken; %d are refused", tt.want+1, refused.Load())
			}
			in[0].Close()
			in[0].Close()
			dial()
			in = append(in, <-taken)
			if !turnedAway() || refused.Load() != 2 {
				t.Error("one that is closed twice leaves two places")
			}
			for _, c := range in {
				c.Close()
			}
		})
	}
}

// TestThePagesBoundTheirConnections of addresses that stand for many people only in all.
func TestThePagesBoundTheirConnections(t *testing.T) {
	f := setUp(t)
	w, err := web.Open(web.Config{Exposure: web.Exposure{Listen: "127.0.0.1:0"}, MaxClients: 1}, f.sources())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if total, each, many := w.Bounds(); total != 1025 || each != 256 || !many {
		t.Errorf("bounds %d, %d, and this machine stands for many: %v", total, each, many)
	}
}
