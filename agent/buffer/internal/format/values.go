package format

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Seal appends a CRC-32C.
func Seal(v []byte) []byte {
	return binary.BigEndian.AppendUint32(v, crc32.Checksum(v, castagnoli))
}

// Unseal checks the CRC-32C and the version in the first byte and returns what is
// between them.
func Unseal(v []byte, version byte) ([]byte, error) {
	if len(v) < 5 || crc32.Checksum(v[:len(v)-4], castagnoli) != binary.BigEndian.Uint32(v[len(v)-4:]) {
		return nil, ErrDamaged
	}
	if v[0] != version {
		return nil, fmt.Errorf("format %d is not known; %w", v[0], ErrNewer)
	}
	return v[1 : len(v)-4], nil
}
