package host

import (
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// SetQuiet sets how long nothing may come until the host wants to hear itself.
func (h *Host) SetQuiet(d time.Duration) { h.quiet = d }

// Wrap sets what takes the place of the MQTT client of each connection.
func (h *Host) Wrap(wrap func(mqtt.Client) mqtt.Client) {
	h.newClient = func(o *mqtt.ClientOptions) mqtt.Client { return wrap(mqtt.NewClient(o)) }
}

// SetClock sets what tells the time of STATE.
func (h *Host) SetClock(clock func() time.Time) { h.clock = clock }
