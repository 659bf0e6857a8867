package host

import (
	"context"
	"net"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"andon.internal/shared/mtls"
)

// Try connects to a broker once and leaves again. It returns why that is not possible.
func Try(ctx context.Context, address string, tls *mtls.Store) error {
	h, err := New(Config{URL: address, TLS: tls, Filters: Filters(), Receive: func(Message) {}})
	if err != nil {
		return err
	}
	client := mqtt.NewClient(h.options(ctx, make(chan net.Conn, 1)))
	defer client.Disconnect(uint(goodbyeTimeout.Milliseconds()))
	return finish(ctx, client.Connect(), 2*connectTimeout, "connect")
}
