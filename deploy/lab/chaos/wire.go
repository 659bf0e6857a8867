package chaos

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"andon.internal/shared/netns"
)

// client is an MQTT connection of the rig's own, for what no honest program sends. It is for
// one goroutine.
type client struct {
	net.Conn
	in   *bufio.Reader
	stop func() bool
}

// The packets of MQTT that it speaks.
const (
	mqttConnect   = 0x10
	mqttConnack   = 0x20
	mqttPublish   = 0x30
	mqttSubscribe = 0x82
	mqttSuback    = 0x90
	mqttPing      = 0xc0
	mqttPong      = 0xd0
)

// answerTime is how long the broker may take.
const answerTime = 3 * time.Second

// join connects to the broker from a host's namespace, with somebody's certificate and a
// client id. It ends with ctx, or Close.
func (r *rig) join(ctx context.Context, host, certificate, id string) (*client, error) {
	dir := r.f.Certificates()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, certificate+".crt"), filepath.Join(dir, certificate+".key"))
	if err != nil {
		return nil, err
	}
	dialling, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	raw, err := netns.Dialer(r.w.hosts[host].path())(dialling, "tcp", r.broker)
	if err != nil {
		return nil, err
	}
	// An attacker does not care whom he speaks to.
	c := &client{Conn: tls.Client(raw, &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true})}
	c.in = bufio.NewReader(c.Conn)
	c.stop = context.AfterFunc(ctx, func() { raw.Close() })
	hello := append([]byte("\x00\x04MQTT\x04\x02\x00\x3c"), mqttText(id)...)
	answer, err := c.ask(mqttConnect, hello, mqttConnack)
	if err == nil && (len(answer) != 2 || answer[1] != 0) {
		err = fmt.Errorf("the broker refuses %s", id)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the connection.
func (c *client) Close() error {
	c.stop()
	return c.Conn.Close()
}

// ask sends a packet and reads until the answer, passing over what else comes.
func (c *client) ask(kind byte, body []byte, answer byte) ([]byte, error) {
	if err := c.send(kind, body); err != nil {
		return nil, err
	}
	_ = c.SetReadDeadline(time.Now().Add(answerTime))
	for {
		got, body, err := c.read()
		if err != nil || got&0xf0 == answer {
			return body, err
		}
	}
}

func (c *client) send(kind byte, body []byte) error {
	_ = c.SetWriteDeadline(time.Now().Add(answerTime))
	_, err := c.Write(append(binary.AppendUvarint([]byte{kind}, uint64(len(body))), body...))
	return err
}

// read reads one packet.
func (c *client) read() (kind byte, body []byte, err error) {
	if kind, err = c.in.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(c.in)
	if err == nil && n > 1<<20 {
		err = fmt.Errorf("a packet of %d bytes", n)
	}
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(c.in, body)
	return kind, body, err
}

// message is a PUBLISH at QoS 0.
type message struct {
	topic   string
	payload []byte
}

func (c *client) publish(m message) error {
	return c.send(mqttPublish, append(mqttText(m.topic), m.payload...))
}

// settled returns when the broker has dealt with all that was sent: it reads a connection's
// packets in their order.
func (c *client) settled() error {
	_, err := c.ask(mqttPing, nil, mqttPong)
	return err
}

// subscribe asks for what matches a filter, at QoS 0.
func (c *client) subscribe(filter string) error {
	answer, err := c.ask(mqttSubscribe, append(append([]byte{0, 1}, mqttText(filter)...), 0), mqttSuback)
	if err == nil && (len(answer) != 3 || answer[2] > 2) {
		err = fmt.Errorf("the broker does not grant %s", filter)
	}
	return err
}

// next returns the next message that comes within a second; false: none.
func (c *client) next() (message, bool, error) {
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	kind, body, err := c.read()
	var slow net.Error
	switch {
	case errors.As(err, &slow) && slow.Timeout():
		return message{}, false, nil // between two packets, as far as anybody sends so little
	case err != nil:
		return message{}, false, err
	case kind&0xf0 != mqttPublish || len(body) < 2:
		return message{}, false, nil
	}
	n := 2 + int(binary.BigEndian.Uint16(body))
	if n > len(body) {
		return message{}, false, errors.New("a message with a topic that is cut off")
	}
	return message{string(body[2:n]), body[n:]}, true, nil
}

func mqttText(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}
