package siege

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// The packet types that are told apart here, with their flags (MQTT 3.1.1, 2.2).
const (
	connect    = 0x10
	connack    = 0x20
	publish    = 0x30
	publishAck = 0x32 // at QoS 1
	puback     = 0x40
	subscribe  = 0x82
	suback     = 0x90
	pingreq    = 0xc0
)

// packet frames a body.
func packet(kind byte, body ...[]byte) []byte {
	all := bytes.Join(body, nil)
	return append(binary.AppendUvarint([]byte{kind}, uint64(len(all))), all...)
}

func text(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

func number(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

// will is what a CONNECT leaves for the end; the zero will is none.
type will struct {
	topic   string
	payload []byte
	retain  bool
}

// connectPacket makes a CONNECT of MQTT 3.1.1 with a clean session.
func connectPacket(id string, keepalive uint16, w will) []byte {
	flags := byte(0x02)
	var last []byte
	if w.topic != "" {
		flags |= 0x04
		if w.retain {
			flags |= 0x20
		}
		last = bytes.Join([][]byte{text(w.topic), text(string(w.payload))}, nil)
	}
	return packet(connect, text("MQTT"), []byte{4, flags}, number(keepalive), text(id), last)
}

func publishPacket(topic string, payload []byte) []byte { return packet(publish, text(topic), payload) }

func subscribePacket(filter string) []byte {
	return packet(subscribe, number(1), text(filter), []byte{0})
}

// maxAnswer bounds what is read of a broker that may have been led astray.
const maxAnswer = 1 << 20

// read reads one packet.
func read(r *bufio.Reader) (kind byte, body []byte, err error) {
	if kind, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, nil, err
	}
	if n > maxAnswer {
		return 0, nil, fmt.Errorf("a packet of %d bytes", n)
	}
	body = make([]byte, n)
	_, err = io.ReadFull(r, body)
	return kind, body, err
}
