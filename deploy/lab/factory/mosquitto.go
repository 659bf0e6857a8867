package factory

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"andon.internal/lab/process"
)

// mosquittoConfig is what takes the place of andon-broker's: any broker will do, without
// persistence. It keeps root, whose folder it reads.
const mosquittoConfig = `listener %s 127.0.0.1
allow_anonymous true
user root
persistence false
max_packet_size 524288
max_queued_messages 65536
`

// addMosquitto prepares Mosquitto in the broker's place.
func (f *Factory) addMosquitto() error {
	_, port, err := net.SplitHostPort(f.broker)
	if err != nil {
		return err
	}
	dir := filepath.Join(f.opt.Dir, Broker)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	m := &member{config: filepath.Join(dir, "mosquitto.conf"), mqtt: f.broker, log: filepath.Join(dir, "log.txt")}
	if err := os.WriteFile(m.config, fmt.Appendf(nil, mosquittoConfig, port), 0o644); err != nil {
		return err
	}
	m.runner = daemon{process.New(process.Spec{
		Name: Broker, Path: f.opt.Mosquitto, Args: []string{"-c", m.config}, Log: m.log, Report: f.report,
	})}
	f.join(Broker, m)
	return nil
}

// askDoor returns why nobody listens at an address, or nil.
func askDoor(ctx context.Context, address string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}
