package collector

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"andon.internal/collector/host"
	"andon.internal/collector/watch"
	"andon.internal/shared/ops"
)

// watchQueue is how many messages wait for a slow terminal.
const watchQueue = 4096

// Watch prints the live traffic of a configuration's broker to out until ctx ends:
// as text, or as JSON lines. filter is as for [watch.Filters]. What a slow reader of
// out does not keep up with is left out and counted in the log.
func Watch(ctx context.Context, c Config, filter string, asJSON bool, out io.Writer, log *slog.Logger) error {
	filters, err := watch.Filters(filter)
	if err != nil {
		return ops.UsageError(err, "for example: andon-collector watch austin-line1/cell-07")
	}
	profiles, err := c.profiles()
	if err != nil {
		return err
	}
	messages, missed := make(chan host.Message, watchQueue), 0
	certificates, err := c.MQTT.certificates(log)
	if err != nil {
		return err
	}
	h, err := host.New(host.Config{
		URL: c.MQTT.URL, TLS: certificates, Filters: atMostOnce(filters), Logger: log,
		Receive: func(m host.Message) {
			select {
			case messages <- m:
				if missed > 0 {
					log.Warn("messages are left out: they come faster than they are read", "messages", missed)
					missed = 0
				}
			default:
				missed++
			}
		},
	})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.Run(ctx) })
	g.Go(func() error { return printAll(ctx, messages, watch.NewDecoder(profiles), asJSON, out) })
	return g.Wait()
}

// atMostOnce subscribes each filter with QoS 0: a viewer must not hold up anybody.
func atMostOnce(filters []string) map[string]byte {
	m := make(map[string]byte, len(filters))
	for _, f := range filters {
		m[f] = 0
	}
	return m
}

// printAll prints until ctx ends or out takes no more.
func printAll(ctx context.Context, messages <-chan host.Message, d *watch.Decoder, asJSON bool, out io.Writer) error {
	w := bufio.NewWriter(out)
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-messages:
			e := d.Decode(m.Topic, m.Payload, m.Retained, m.Received)
			write := e.WriteText
			if asJSON {
				write = e.WriteJSON
			}
			err := write(w)
			if err == nil && len(messages) == 0 {
				err = w.Flush()
			}
			if err != nil {
				return fmt.Errorf("print: %w", err)
			}
		}
	}
}
