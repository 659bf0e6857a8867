package agent

import (
	"crypto/rand"
	"encoding/binary"
)

// sessions numbers the connections to the broker: a durable counter in the lower 32 bits, and
// above it 20 random ones. A box that began with a copy of another one's card counts as that
// does; records of one would pass under the births of the other, whose aliases are not its.
type sessions struct {
	count interface{ Next(string) (uint64, error) }
}

// Next returns the number of the next connection.
func (s sessions) Next(name string) (uint64, error) {
	n, err := s.count.Next(name)
	var random [8]byte
	_, _ = rand.Read(random[5:]) // never fails
	return (binary.BigEndian.Uint64(random[:])&(1<<20-1))<<32 | n&(1<<32-1), err
}
