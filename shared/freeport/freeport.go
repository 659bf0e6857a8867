// Package freeport finds ports of 127.0.0.1 for servers of tests and of the lab that
// are stopped and started again on the same port.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The ports lie below the range from which Linux takes ports for outgoing connections,
// so that nothing takes a server's port while it is stopped.
const first, last = 15000, 32000

// Take returns a port on which nobody listens, and that nobody else takes for as long as this
// process runs, also while its server is stopped. It is safe for concurrent use.
func Take() (int, error) {
	for range 1000 {
		port := first + rand.IntN(last-first)
		if reserve(port) == nil && Try(port) == nil {
			return port, nil
		}
	}
	return 0, errors.New("find a free port: there is none from 15000 to 32000")
}

var (
	mu       sync.Mutex
	reserved []net.Listener
)

// reserve marks the port with a socket in the abstract namespace of Linux, which goes with the
// process.
func reserve(port int) error {
	l, err := net.Listen("unix", "@andon-port-"+strconv.Itoa(port))
	if err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	reserved = append(reserved, l)
	return nil
}

// Try returns an error when somebody listens on the port.
func Try(port int) error {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}
