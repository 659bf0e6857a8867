package ops

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// TellPlaintext tells, in the log and in the metric andon_mqtt_plaintext, whether MQTT
// leaves this machine without TLS at an address, which somebody has allowed.
func TellPlaintext(reg prometheus.Registerer, log *slog.Logger, exposed bool, address string) {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "andon_mqtt_plaintext", Help: "1 where MQTT leaves this machine without TLS, by the key plaintext, and else 0.",
	})
	reg.MustRegister(g)
	if exposed {
		g.Set(1)
		log.Warn("mqtt leaves this machine without encryption and access control, as plaintext: true allows", "address", address)
	}
}
