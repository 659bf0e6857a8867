package factory

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"andon.internal/shared/freeport"
)

// ports hands out ports of 127.0.0.1, each once.
type ports map[int]bool

// take returns wanted, or with 0 a free port.
func (p ports) take(wanted int) (int, error) {
	if wanted != 0 {
		if p[wanted] {
			return 0, fmt.Errorf("port %d is given twice", wanted)
		}
		if err := freeport.Try(wanted); err != nil {
			return 0, fmt.Errorf("port %d: %w", wanted, err)
		}
		p[wanted] = true
		return wanted, nil
	}
	for range 100 {
		port, err := freeport.Take()
		if err != nil {
			return 0, err
		}
		if !p[port] {
			p[port] = true
			return port, nil
		}
	}
	return 0, errors.New("find a free port: all are given")
}

// loopback is where everything listens that has no site.
const loopback = "127.0.0.1"

func address(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
