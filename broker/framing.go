package broker

// largePacket is the size from which on a packet that has begun is booked: for smaller
// ones the read buffers are as large.
const largePacket = 32 << 10

// framing follows where the packets of a connection begin and end (MQTT 5.0, 2.1.1): the
// library gives memory to a packet when it has its size, and asks nobody. The zero framing
// stands before the first packet.
type framing struct {
	left   int  // bytes of the packet's body that are still to come
	header int  // bytes of its fixed header that have come
	size   int  // as far as they say it
	broken bool // the size makes no sense, and the library will say so
}

// feed takes what came in. It calls begin for a packet whose size is known, and end
// behind its last byte.
func (f *framing) feed(p []byte, begin func(size int), end func()) {
	for len(p) > 0 && !f.broken {
		if f.left > 0 {
			n := min(f.left, len(p))
			f.left -= n
			p = p[n:]
			if f.left == 0 {
				end()
			}
			continue
		}
		b := p[0]
		p = p[1:]
		f.header++
		switch {
		case f.header == 1:
			continue
		case f.header > 5:
			f.broken = true
			return
		}
		f.size |= int(b&0x7f) << (7 * (f.header - 2))
		if b&0x80 != 0 {
			continue
		}
		f.left, f.header = f.size, 0
		begin(f.size)
		if f.size == 0 {
			end()
		}
		f.size = 0
	}
}
