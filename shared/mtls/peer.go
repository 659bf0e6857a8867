package mtls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"
)

// Why the certificate of a connected peer is no longer good.
var (
	ErrRevoked = errors.New("the certificate was revoked")
	ErrExpired = errors.New("the certificate has expired")
)

// CheckPeer says whether who is at the other end of a connection would still be let in:
// it returns nil, or an error that wraps [ErrRevoked] or [ErrExpired]. A handshake asks
// only at its own time; this is for the connections that stay. Safe for concurrent use.
func (s *Store) CheckPeer(cs tls.ConnectionState) error {
	h, now := s.current(), s.now()
	for _, c := range cs.PeerCertificates {
		if now.After(c.NotAfter) {
			return fmt.Errorf("%w: %s of %q, at %s", ErrExpired, serial(c), c.Subject, c.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	if err := h.check(cs.VerifiedChains); err != nil {
		return fmt.Errorf("%w: %w", ErrRevoked, err)
	}
	return nil
}
