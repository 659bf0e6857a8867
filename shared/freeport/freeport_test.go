package freeport_test

import (
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"

	"andon.internal/shared/freeport"
)

func TestTakeGivesAPortThatCanBeListenedOn(t *testing.T) {
	port, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if freeport.Try(port) == nil {
		t.Errorf("port %d is in use and counts as free", port)
	}
}

// TestTakenStaysTaken: while its server is stopped a port is still nobody else's.
func TestTakenStaysTaken(t *testing.T) {
	port, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	if err := freeport.Try(port); err != nil {
		t.Fatalf("somebody listens on it: %v", err)
	}
	l, err := net.Listen("unix", "@andon-port-"+strconv.Itoa(port))
	if err == nil {
		_ = l.Close()
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("port %d can be taken twice: %v", port, err)
	}
}
