package relay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"andon.internal/shared/netns"
)

// Seen is how numbered datagrams came through.
type Seen struct {
	Sent     int
	Lost     int
	Doubled  int
	Disorder int           // came behind one that was sent later
	Soonest  time.Duration // from sending until it came, of the fastest and the slowest
	Slowest  time.Duration
}

const (
	probes     = 200
	probePause = 2 * time.Millisecond
	// probeWait is how long the last ones may take.
	probeWait = 1500 * time.Millisecond
)

// Probe sends numbered datagrams from one namespace to an address in another, and says
// how they came: the cable as those see it who use it. It takes two seconds.
func Probe(ctx context.Context, from, to, addr string) (Seen, error) {
	var in net.PacketConn
	err := netns.Do(to, func() (err error) {
		in, err = net.ListenPacket("udp", net.JoinHostPort(addr, "0"))
		return err
	})
	if err != nil {
		return Seen{}, fmt.Errorf("probe: %w", err)
	}
	defer func() { _ = in.Close() }()
	out, err := netns.Dialer(from)(ctx, "udp", in.LocalAddr().String())
	if err != nil {
		return Seen{}, fmt.Errorf("probe: %w", err)
	}
	defer out.Close()
	begun := time.Now()
	sent := make(chan error, 1)
	go func() { // on a busy machine for longer than the pauses
		err := sendProbes(ctx, out, begun)
		sent <- errors.Join(err, in.SetReadDeadline(time.Now().Add(probeWait)))
	}()
	seen, err := readProbes(in, begun)
	return seen, errors.Join(err, <-sent)
}

func sendProbes(ctx context.Context, out net.Conn, begun time.Time) error {
	pace := time.NewTicker(probePause)
	defer pace.Stop()
	for n := range uint64(probes) {
		b := binary.BigEndian.AppendUint64(nil, n)
		b = binary.BigEndian.AppendUint64(b, uint64(time.Since(begun)))
		if _, err := out.Write(b); err != nil {
			return fmt.Errorf("send probe: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pace.C:
		}
	}
	return nil
}

func readProbes(in net.PacketConn, begun time.Time) (Seen, error) {
	s := Seen{Sent: probes, Lost: probes}
	var came [probes]bool
	latest := uint64(0)
	b := make([]byte, 64)
	for {
		n, _, err := in.ReadFrom(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return s, nil
		}
		if err != nil {
			return s, fmt.Errorf("read probe: %w", err)
		}
		number := binary.BigEndian.Uint64(b)
		if n != 16 || number >= probes {
			continue // not ours
		}
		if came[number] {
			s.Doubled++
			continue
		}
		took := time.Since(begun) - time.Duration(binary.BigEndian.Uint64(b[8:]))
		if s.Lost == probes || took < s.Soonest {
			s.Soonest = took
		}
		s.Slowest = max(s.Slowest, took)
		came[number] = true
		s.Lost--
		if number < latest {
			s.Disorder++
		}
		latest = max(latest, number)
	}
}
