package freeport_test

import (
	"net"
	"strconv"
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
