// Package freeport finds ports of 127.0.0.1 for servers of tests and of the lab that
// are stopped and started again on the same port.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// The ports lie below the range from which Linux takes ports for outgoing connections,
// so that nothing takes a server's port while it is stopped.
const first, last = 15000, 32000

// Take returns a port on which nobody listens. Another process that looks at the same
// time may get the same one.
func Take() (int, error) {
	for range 1000 {
		port := first + rand.IntN(last-first)
		if Try(port) == nil {
			return port, nil
		}
	}
	return 0, errors.New("find a free port: there is none from 15000 to 32000")
}

// Try returns an error when somebody listens on the port.
func Try(port int) error {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}
