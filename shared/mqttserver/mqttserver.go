// Package mqttserver closes servers of mochi-mqtt.
package mqttserver

import (
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Close ends a server and returns when all its connections have ended, as s.Close does but
// for the standstill that this can come to: it takes the lock of its clients twice to list
// them, and one that leaves in between makes all wait for ever (mochi-mqtt/server, issue
// 488). So the clients get their goodbye here, and s.Close finds none. The error is always
// nil, as that of s.Close is.
func Close(s *mqtt.Server) error {
	s.Listeners.CloseAll(func(listener string) {
		for _, cl := range s.Clients.GetAll() {
			if cl.Net.Listener == listener && !cl.Closed() {
				_ = s.DisconnectClient(cl, packets.ErrServerShuttingDown) // it may be gone by now
			}
		}
	})
	return s.Close()
}
