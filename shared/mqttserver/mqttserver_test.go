package mqttserver_test

import (
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"

	"andon.internal/shared/mqttserver"
)

// TestCloseWhileClientsLeave: the library's own Close stands still within some of these tries.
func TestCloseWhileClientsLeave(t *testing.T) {
	for range 200 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
		if err := s.AddListener(listeners.NewNet("test", l)); err != nil {
			t.Fatal(err)
		}
		if err := s.Serve(); err != nil {
			t.Fatal(err)
		}
		closed := make(chan struct{})
		var leaving sync.WaitGroup
		for range 4 {
			leaving.Go(func() {
				for {
					select {
					case <-closed:
						return
					default:
						s.Clients.Delete("one of many")
					}
				}
			})
		}
		done := make(chan error, 1)
		go func() { done <- mqttserver.Close(s) }()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("it stands still")
		}
		close(closed)
		leaving.Wait()
	}
}
