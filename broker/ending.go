package broker

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// ended counts why a connection ended, and tells of a session that its client broke.
// Of each reason the log has one line in 10 s.
func (l *listener) ended(c *conn, err error) {
	if !c.established.Load() {
		l.refuse(c, refusal(err), err)
		return
	}
	why := breach(err)
	if bound := c.crowdedBy(); bound != "" {
		why = bound
	}
	if why == "" {
		return
	}
	l.metrics.broken.WithLabelValues(why).Inc()
	more, tell := l.told.tell(why, time.Now())
	if !tell {
		return
	}
	l.log.Warn("a session was ended for what its client did", "reason", why, "client", clip(c.client.Load().ID),
		"remote", c.RemoteAddr().String(), "error", err, "max_packet", l.limits.MaxPacket, "repeated", more)
}

// refuse counts a connection that came to no session. What needs a look at the other end,
// or tells of somebody who should not be there, is in the log, once in 10 s.
func (l *listener) refuse(c *conn, reason string, err error) {
	if bound := c.crowdedBy(); bound != "" {
		reason = bound
	}
	l.metrics.refused.WithLabelValues(reason).Inc()
	switch reason {
	case "tls", "handshake_timeout", "no_identity", "max_pending", "max_connections_per_identity":
	default:
		return
	}
	if more, tell := l.told.tell(reason, time.Now()); tell {
		l.log.Warn("a connection was refused", "reason", reason, "remote", c.RemoteAddr().String(), "error", clip(err.Error()), "more_before", more)
	}
}

// refusal names, for the metric, why a connection came to no session.
func refusal(err error) string {
	var code packets.Code
	switch {
	case err == nil:
		return "closed"
	case errors.Is(err, errConnectSize), errors.Is(err, packets.ErrPacketTooLarge):
		return "connect_too_large"
	case errors.Is(err, errNotConnect), errors.Is(err, errConnectForm):
		return "not_mqtt"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "connect_timeout"
	case errors.As(err, &code):
		return "connect_invalid"
	case errors.Is(err, net.ErrClosed):
		return "stopping"
	}
	return "closed"
}

// breach names, for the metric, what a client did that ended its session; it is empty
// where the client or the network just left.
func breach(err error) string {
	const malformed, violation = 0x81, 0x82 // MQTT 5.0, 2.4
	var code packets.Code
	var network *net.OpError
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), errors.Is(err, mqtt.ErrConnectionClosed):
		return ""
	case errors.Is(err, packets.ErrPacketTooLarge):
		return "packet_too_large"
	case errors.As(err, &network):
		if network.Op == "read" && network.Timeout() {
			return "keepalive"
		}
		return "" // a write that stood too long is counted where it stood
	case !errors.As(err, &code), code.Code == malformed, code.Code == violation:
		return "malformed"
	case code.Code < packets.ErrUnspecifiedError.Code:
		return "" // a goodbye
	}
	return "refused"
}
