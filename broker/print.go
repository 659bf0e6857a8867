package broker

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Print writes what the configuration comes to, one setting a line.
func (c *Config) Print(w io.Writer) error {
	http := c.HTTP.Listen
	if http == "" {
		http = "off"
	}
	l := &c.Limits
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range []struct {
		key   string
		value any
	}{
		{"listen", c.Listen},
		{"plaintext", c.Plaintext},
		{"http.listen", http},
		{"limits.max_packet", l.MaxPacket},
		{"limits.receive_bytes", l.ReceiveBytes},
		{"limits.max_connect_packet", l.MaxConnectPacket},
		{"limits.connect_timeout", l.ConnectTimeout},
		{"limits.max_connections", l.MaxConnections},
		{"limits.max_connections_per_ip", l.MaxConnectionsPerIP},
		{"limits.max_connections_per_identity", l.MaxConnectionsPerIdentity},
		{"limits.max_pending", l.MaxPending},
		{"limits.max_packet_rate", l.MaxPacketRate},
		{"limits.max_byte_rate", l.MaxByteRate},
		{"limits.keepalive_max", l.KeepaliveMax},
		{"limits.write_timeout", l.WriteTimeout},
		{"limits.client_queue", l.ClientQueue},
		{"limits.client_queue_bytes", l.ClientQueueBytes},
		{"limits.queue_bytes", l.QueueBytes},
		{"limits.max_inflight", l.MaxInflight},
		{"limits.max_subscriptions", l.MaxSubscriptions},
		{"limits.max_retained", l.MaxRetained},
		{"limits.max_retained_size", l.MaxRetainedSize},
	} {
		fmt.Fprintf(out, "%s\t%v\n", row.key, row.value)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return nil
}
