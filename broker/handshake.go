package broker

import (
	"net"
	"os"
	"runtime"
	"time"
)

// turns bounds how many handshakes are computed at a time, to half of the processors: the
// other half stays for those who have a session. Who is waited for holds no turn, so
// handshakes that are never finished keep nobody else out.
type turns chan struct{}

func newTurns() turns { return make(turns, max(1, runtime.GOMAXPROCS(0)/2)) }

// handshake is a raw connection during its TLS handshake. What it received is only
// handed on, to be computed, once it has a turn; it gives the turn back before it waits
// for more. Behind the handshake it is the raw connection.
type handshake struct {
	net.Conn
	turns turns
	until time.Time
	mine  bool // has a turn; of these two only the goroutine of the handshake knows
	done  bool
}

// Read reads and takes a turn.
func (h *handshake) Read(p []byte) (int, error) {
	if h.done {
		return h.Conn.Read(p)
	}
	h.pass()
	n, err := h.Conn.Read(p)
	if err != nil {
		return n, err
	}
	late := time.NewTimer(time.Until(h.until))
	defer late.Stop()
	select {
	case h.turns <- struct{}{}:
		h.mine = true
		return n, nil
	case <-late.C:
		return 0, os.ErrDeadlineExceeded
	}
}

// pass gives the turn back.
func (h *handshake) pass() {
	if h.mine {
		h.mine = false
		<-h.turns
	}
}

// end is called once behind the handshake, however it ended.
func (h *handshake) end() {
	h.pass()
	h.done = true
}
