package chaos

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"path/filepath"
	"time"

	"andon.internal/shared/netns"
)

// malformed has somebody with the certificate of a cell publish what is no message: under
// the cell's own topics, under those of the other one, and as its acknowledgement.
func malformed(ctx context.Context, r *rig, target string) (cure, error) {
	rng := rand.New(rand.NewPCG(r.opt.Seed, uint64(r.round)+2<<32))
	return r.meanwhile(ctx, func(ctx context.Context) error {
		for ctx.Err() == nil {
			// That the broker is down, or ends the connection, is as it should be.
			_ = r.attack(ctx, target, rng)
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
		}
		return nil
	}, func(context.Context) error { return nil }), nil
}

func (r *rig) attack(ctx context.Context, cell string, rng *rand.Rand) error {
	dir := r.f.Certificates()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, cell+".crt"), filepath.Join(dir, cell+".key"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	raw, err := netns.Dialer(r.w.hosts[cell].path())(ctx, "tcp", r.broker)
	if err != nil {
		return err
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(3 * time.Second))
	// An attacker does not care whom he speaks to.
	conn := tls.Client(raw, &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true})
	if err := connectMQTT(conn); err != nil {
		return err
	}
	garbage := make([]byte, 1+rng.IntN(2000))
	for i := range garbage {
		garbage[i] = byte(rng.Uint32())
	}
	forged := []byte("\x12\x2b\x0a\x09Andon/Ack\x20\x0c\x7a\x1ce=00000000000000000000000000:[0,99)")
	for _, m := range []struct {
		topic   string
		payload []byte
	}{
		{"spBv1.0/" + groups[cell] + "/DDATA/" + cell + "/stranger", garbage},
		{"spBv1.0/" + groups[other(cell)] + "/DDATA/" + other(cell) + "/stranger", garbage},
		{"spBv1.0/" + groups[other(cell)] + "/NCMD/" + other(cell), forged},
	} {
		packet := binary.BigEndian.AppendUint16(nil, uint16(len(m.topic)))
		packet = append(append(packet, m.topic...), m.payload...)
		if _, err := conn.Write(mqttPacket(0x30, packet)); err != nil {
			return err
		}
	}
	return nil
}

func other(cell string) string {
	if cell == fileCell {
		return dynoCell
	}
	return fileCell
}

func connectMQTT(conn net.Conn) error {
	hello := []byte("\x00\x04MQTT\x04\x02\x00\x0a\x00\x08attacker")
	if _, err := conn.Write(mqttPacket(0x10, hello)); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 4))
	return err
}

func mqttPacket(kind byte, body []byte) []byte {
	return append(binary.AppendUvarint([]byte{kind}, uint64(len(body))), body...)
}
