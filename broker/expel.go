package broker

import (
	"crypto/tls"
	"errors"
	"time"

	"andon.internal/shared/mtls"
)

// expel ends a connection whose certificate has been revoked or has expired since its
// handshake. Its will is published: whoever it was, it is gone. One that renewed its
// certificate comes back by itself.
func (l *listener) expel(c *conn) {
	secured, ok := c.Conn.(*tls.Conn)
	if !ok || !c.known.Load() {
		return // without certificates, or still in its handshake
	}
	err := l.gate.store.CheckPeer(secured.ConnectionState())
	if err == nil || c.expelled.Swap(true) {
		return
	}
	reason := "revoked"
	if errors.Is(err, mtls.ErrExpired) {
		reason = "expired"
	}
	l.metrics.expelled.WithLabelValues(reason).Inc()
	if more, tell := l.told.tell("expelled: "+reason, time.Now()); tell {
		l.log.Warn("a connection was ended, since its certificate is no longer good", "reason", reason,
			"identity", c.identity.String(), "remote", c.RemoteAddr().String(), "error", clip(err.Error()), "more_before", more)
	}
	_ = c.Close() // it may be closing already
}
