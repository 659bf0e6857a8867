package uplink_test

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// proxy is the cable between a cell and the broker.
type proxy struct {
	t        testing.TB
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	conns   map[net.Conn]bool
	stalled bool
	deaf    bool       // stalled towards the broker only
	moved   *sync.Cond // stalled or refused changed
	refused bool
	closed  bool
	rate    int               // bytes a second towards the broker; 0: no limit
	ghosts  map[net.Conn]bool // held back one by one; false: released
}

// narrow makes a listener's connections take less than 200 KiB until somebody reads, and not
// megabytes: their segments are small, and the room at both ends goes by these.
func narrow(_, _ string, c syscall.RawConn) (err error) {
	other := c.Control(func(fd uintptr) {
		err = errors.Join(unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 1000),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<10))
	})
	return errors.Join(err, other)
}

// startProxy starts one whose listener's socket passes control, unless that is nil.
func startProxy(t testing.TB, target string, control func(string, string, syscall.RawConn) error) *proxy {
	t.Helper()
	l, err := (&net.ListenConfig{Control: control}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, target: target, listener: l, conns: map[net.Conn]bool{}, ghosts: map[net.Conn]bool{}}
	p.moved = sync.NewCond(&p.mu)
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		p.mu.Lock()
		p.closed, p.stalled, p.deaf = true, false, false
		clear(p.ghosts)
		p.moved.Broadcast()
		p.mu.Unlock()
		l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "tcp://" + p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refused := p.refused || p.closed
		p.mu.Unlock()
		if refused {
			in.Close()
			continue
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		p.conns[in], p.conns[out] = true, true
		p.mu.Unlock()
		p.wg.Go(func() { p.pipe(out, in, true) })
		p.wg.Go(func() { p.pipe(in, out, false) })
	}
}

// pipe forwards until either side is closed; while stalled it swallows nothing and
// forwards nothing.
func (p *proxy) pipe(to, from net.Conn, up bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 16<<10)
	for {
		p.mu.Lock()
		for (p.stalled || up && p.deaf) && p.conns[from] {
			p.moved.Wait()
		}
		rate := p.rate
		p.mu.Unlock()
		size := len(buf)
		if up && rate > 0 {
			size = max(rate/50, 1)
		}
		n, err := from.Read(buf[:size])
		if up && rate > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
		}
		p.mu.Lock()
		for ((p.stalled || up && p.deaf) && p.conns[from]) || p.ghosts[from] {
			p.moved.Wait()
		}
		p.mu.Unlock()
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			p.mu.Lock()
			delete(p.conns, from)
			delete(p.conns, to)
			p.moved.Broadcast()
			p.mu.Unlock()
			return
		}
	}
}

// cut breaks every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
		delete(p.conns, c)
	}
	p.moved.Broadcast()
}

// open reports whether a connection goes through it.
func (p *proxy) open() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns) > 0
}

// refuse breaks every connection and takes no new one.
func (p *proxy) refuse(on bool) {
	p.mu.Lock()
	p.refused = on
	p.mu.Unlock()
	if on {
		p.cut()
	}
}

// ghost holds back what the connections of now carry, also their end, until release; new
// ones are as ever.
func (p *proxy) ghost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		p.ghosts[c] = true
	}
}

func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.ghosts)
	p.moved.Broadcast()
}

// stall keeps connections open and forwards nothing: a half-open link.
func (p *proxy) stall(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = on
	p.moved.Broadcast()
}

// swallow holds back what goes to the broker, and nothing of what comes from it.
func (p *proxy) swallow(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = on
	p.moved.Broadcast()
}

func (p *proxy) setRate(bytesPerSecond int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = bytesPerSecond
}
