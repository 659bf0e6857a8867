package factory

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Free ports are taken from below the range that Linux uses for outgoing
// connections, so that the port of a killed process is still free when it is
// started again.
const firstPort, lastPort = 15000, 32000

// ports hands out ports of 127.0.0.1, each once.
type ports map[int]bool

// take returns wanted, or with 0 a free port.
func (p ports) take(wanted int) (int, error) {
	if wanted != 0 {
		if p[wanted] {
			return 0, fmt.Errorf("port %d is given twice", wanted)
		}
		if err := bindable(wanted); err != nil {
			return 0, fmt.Errorf("port %d: %w", wanted, err)
		}
		p[wanted] = true
		return wanted, nil
	}
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if !p[port] && bindable(port) == nil {
			p[port] = true
			return port, nil
		}
	}
	return 0, errors.New("find a free port: there is none")
}

func bindable(port int) error {
	l, err := net.Listen("tcp", address(port))
	if err != nil {
		return err
	}
	return l.Close()
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
