package siege

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// honestSuffix is that of the honest cells' client ids.
const honestSuffix = "honest"

// Cells are honest: each publishes at QoS 1 at its rate, and a collector measures how
// long a message was on its way.
type Cells struct {
	cells  []*cell
	plant  *client
	cancel context.CancelFunc
	all    sync.WaitGroup
	begun  time.Time
	quiet  atomic.Bool // publish no more

	mu       sync.Mutex
	sent     int
	came     int
	latency  []time.Duration // since the last Take
	failures []error
}

type cell struct {
	*client
	topic string
	acked chan struct{}
}

// Begin connects n cells and their collector, and has each publish so many times a second
// until Close.
func Begin(ctx context.Context, t Target, n, hz int) (*Cells, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &Cells{cancel: cancel, begun: time.Now()}
	fail := func(err error) (*Cells, error) {
		cancel()
		s.all.Wait()
		return nil, fmt.Errorf("begin honest cells: %w", err)
	}
	var err error
	if s.plant, err = t.join(ctx, Plant, Plant.id(honestSuffix), 60); err != nil {
		return fail(err)
	}
	if err := s.plant.send(subscribePacket("spBv1.0/#")); err != nil {
		return fail(err)
	}
	if kind, _, err := read(s.plant.r); err != nil || kind != suback {
		return fail(errors.Join(err, fmt.Errorf("a subscription is answered with %#x", kind)))
	}
	for i := range n {
		w := Cell(i)
		c, err := t.join(ctx, w, w.id(honestSuffix), 60)
		if err != nil {
			return fail(err)
		}
		s.cells = append(s.cells, &cell{c, w.topic(), make(chan struct{}, 1024)})
	}
	s.all.Go(func() { s.collect(ctx) })
	s.all.Go(func() { s.stay(ctx) })
	for i, c := range s.cells {
		s.all.Go(func() { s.listen(ctx, c) })
		s.all.Go(func() { s.publish(ctx, c, hz, i) })
	}
	return s, nil
}

// Rejoin reports whether a cell that was not there before comes in while an attack goes
// on: it connects, as the given cell, publishes, and leaves.
func Rejoin(ctx context.Context, t Target, n int) error {
	w := Cell(n)
	c, err := t.join(ctx, w, w.id("again"), 60)
	if err != nil {
		return err
	}
	defer c.end()
	return c.send(packet(0xe0)) // DISCONNECT
}

// publish sends until the end; cells are spread over the period.
func (s *Cells) publish(ctx context.Context, c *cell, hz, place int) {
	period := time.Second / time.Duration(hz)
	next := time.Now().Add(period * time.Duration(place) / time.Duration(len(s.cells)))
	for id := uint16(1); ; id = max(1, id+1) {
		wait := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
		if s.quiet.Load() {
			return
		}
		// From when it was due: a message that waits behind another one is late too.
		stamp := binary.BigEndian.AppendUint64(nil, uint64(next.Sub(s.begun)))
		next = next.Add(period)
		s.mu.Lock()
		s.sent++
		s.mu.Unlock()
		err := c.send(packet(publishAck, text(c.topic), number(id), stamp, make([]byte, 192)))
		if err == nil {
			select {
			case <-c.acked:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			s.fail(ctx, fmt.Errorf("publish on %s: %w", c.topic, err))
			return
		}
	}
}

// listen reads a cell's acknowledgements.
func (s *Cells) listen(ctx context.Context, c *cell) {
	for {
		kind, _, err := read(c.r)
		if err != nil {
			s.fail(ctx, fmt.Errorf("read as %s: %w", c.topic, err))
			return
		}
		if kind == puback {
			select {
			case c.acked <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// collect reads what the collector gets, and times what is of honest cells.
func (s *Cells) collect(ctx context.Context) {
	for {
		kind, body, err := read(s.plant.r)
		if err != nil {
			s.fail(ctx, fmt.Errorf("read as the collector: %w", err))
			return
		}
		if topic, payload, ok := message(kind, body); ok && strings.Contains(topic, "/NDATA/cell-") && len(payload) == 200 {
			took := time.Since(s.begun) - time.Duration(binary.BigEndian.Uint64(payload))
			s.mu.Lock()
			s.came++
			s.latency = append(s.latency, took)
			s.mu.Unlock()
		}
	}
}

// stay says now and then that the collector is there.
func (s *Cells) stay(ctx context.Context) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.plant.send(packet(pingreq)); err != nil {
				s.fail(ctx, fmt.Errorf("ping as the collector: %w", err))
				return
			}
		}
	}
}

// message takes a PUBLISH at QoS 0 apart.
func message(kind byte, body []byte) (topic string, payload []byte, ok bool) {
	if kind&0xf0 != publish || len(body) < 2 {
		return "", nil, false
	}
	n := int(binary.BigEndian.Uint16(body)) + 2
	if n > len(body) {
		return "", nil, false
	}
	return string(body[2:n]), body[n:], true
}

// Take returns how long messages took since the last Take, and forgets it.
func (s *Cells) Take() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.latency
	s.latency = nil
	return out
}

// Missing returns how many messages were sent and have not come.
func (s *Cells) Missing() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent - s.came
}

// Settle has the cells publish no more, and waits until everything has come, for at most
// d. It returns what [Cells.Err] does.
func (s *Cells) Settle(ctx context.Context, d time.Duration) error {
	s.quiet.Store(true)
	wait, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.Missing() > 0 && wait.Err() == nil {
		select {
		case <-tick.C:
		case <-wait.Done():
		}
	}
	return s.Err()
}

// Err returns what honest cells suffered: nil, unless a connection of one ended.
func (s *Cells) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.failures...)
}

func (s *Cells) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // the end
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, err)
}

// Close ends all of them.
func (s *Cells) Close() {
	s.cancel()
	s.all.Wait()
}
