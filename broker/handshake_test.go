package broker_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"andon.internal/broker"
)

// What a handshake received is computed in its turn: while another's is, it waits, and not
// beyond its time; who waits for the other end holds nobody up.
func TestHandshakesTakeTurns(t *testing.T) {
	begin := broker.Handshakes()
	type hand struct {
		read func([]byte) (int, error)
		end  func()
		peer net.Conn
		got  chan error
	}
	open := func(within time.Duration) *hand {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
		h := &hand{peer: theirs, got: make(chan error)}
		h.read, h.end = begin(ours, time.Now().Add(within))
		return h
	}
	read := func(h *hand) {
		go func() {
			_, err := h.read(make([]byte, 1))
			h.got <- err
		}()
	}
	say := func(h *hand) {
		t.Helper()
		if _, err := h.peer.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	first, silent, second := open(time.Minute), open(time.Minute), open(time.Minute)
	read(silent) // it has no turn
	read(first)
	say(first)
	if err := next(t, first.got); err != nil {
		t.Fatal(err)
	}
	read(second)
	say(second)
	late := open(50 * time.Millisecond)
	read(late)
	say(late)
	if err := next(t, late.got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("whose time is over: %v", err)
	}
	select {
	case err := <-second.got:
		t.Errorf("the second is computed beside the first: %v", err)
	default:
	}
	read(first) // waits for more, and so gives its turn back
	if err := next(t, second.got); err != nil {
		t.Error(err)
	}
	second.end()
	say(first)
	if err := next(t, first.got); err != nil {
		t.Error(err)
	}
	first.end()
	read(first) // a session: it needs no turn
	say(silent)
	if err := next(t, silent.got); err != nil {
		t.Error(err)
	}
	say(first)
	if err := next(t, first.got); err != nil {
		t.Errorf("behind its handshake: %v", err)
	}
}
