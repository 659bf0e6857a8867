package relay

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"andon.internal/shared/netns"
)

// Harm is what happens to the frames, in each direction. The zero value does nothing.
type Harm struct {
	Loss    float64 // part of the frames that are lost
	Repeat  float64 // part that is delivered twice
	Reorder float64 // part that is held back, so that later ones overtake it
	Delay   time.Duration
}

// heldBack is for how long a frame is that others overtake, at most.
const heldBack = 40 * time.Millisecond

// Counts says what has happened, in both directions.
type Counts struct {
	Frames    uint64 // that came in
	Lost      uint64
	Repeated  uint64
	Reordered uint64
	Overflow  uint64 // found too many waiting, and were lost
}

// Relay is a cable between two TAP devices. Its methods are safe for concurrent use.
type Relay struct {
	ends  [2]*os.File
	lanes [2]*lane
	done  sync.WaitGroup

	mu     sync.Mutex
	counts Counts
	failed error
}

// Open makes two TAP devices in a network namespace, and carries frames between them.
func Open(namespace, a, b string, seed uint64, h Harm) (*Relay, error) {
	r := &Relay{}
	for i, name := range []string{a, b} {
		f, err := tap(namespace, name)
		if err != nil {
			return nil, errors.Join(err, r.closeEnds())
		}
		r.ends[i] = f
	}
	for i := range r.lanes {
		r.lanes[i] = newLane()
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		r.done.Go(func() { r.take(r.ends[i], r.lanes[i], h, rng) })
		r.done.Go(func() { r.give(r.ends[1-i], r.lanes[i]) })
	}
	return r, nil
}

// Counts says what has happened so far.
func (r *Relay) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts
}

// Close removes the devices. Frames that wait are lost, as when a cable is pulled. It
// returns what broke the relay before, if anything did.
func (r *Relay) Close() error {
	for _, l := range r.lanes {
		l.end()
	}
	err := r.closeEnds()
	r.done.Wait()
	return errors.Join(r.failed, err)
}

func (r *Relay) closeEnds() error {
	var errs []error
	for _, f := range r.ends {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

func (r *Relay) count(add func(*Counts)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	add(&r.counts)
}

// frameBytes is more than a frame has: the kernel cuts what is larger into pieces for a
// device that does not say that it can.
const frameBytes = 64 << 10

// take reads the frames of one end until it is closed.
func (r *Relay) take(from *os.File, to *lane, h Harm, rng *rand.Rand) {
	b := make([]byte, frameBytes)
	for {
		n, err := from.Read(b)
		if err != nil {
			r.ended("read from", from, err)
			to.end()
			return
		}
		// Always drawn, so that the nth frame has the same fate whatever the others had.
		lost, repeated, held := rng.Float64() < h.Loss, rng.Float64() < h.Repeat, rng.Float64() < h.Reorder
		back := heldBack/4 + time.Duration(rng.Int64N(int64(heldBack*3/4)))
		r.count(func(c *Counts) { c.Frames++ })
		if lost {
			r.count(func(c *Counts) { c.Lost++ })
			continue
		}
		due := time.Now().Add(h.Delay)
		if held {
			due = due.Add(back)
		}
		frame := append([]byte(nil), b[:n]...)
		ok := to.push(due, frame)
		if ok && repeated {
			r.count(func(c *Counts) { c.Repeated++ })
			ok = to.push(due, frame)
		}
		if !ok {
			r.count(func(c *Counts) { c.Overflow++ })
		}
	}
}

// give writes the frames that are due to the other end.
func (r *Relay) give(to *os.File, from *lane) {
	for {
		frame, overtook, ok := from.pop()
		if !ok {
			return
		}
		if overtook {
			r.count(func(c *Counts) { c.Reordered++ })
		}
		// A device that is down takes nothing: what is sent then is lost, as on a cable.
		if _, err := to.Write(frame); err != nil && !errors.Is(err, unix.EIO) {
			r.ended("write to", to, err)
			return
		}
	}
}

func (r *Relay) ended(what string, f *os.File, err error) {
	if errors.Is(err, os.ErrClosed) || errors.Is(err, io.EOF) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = errors.Join(r.failed, fmt.Errorf("%s %s: %w", what, f.Name(), err))
}

// tap makes a TAP device in a namespace. It is gone when the file is closed.
func tap(namespace, name string) (*os.File, error) {
	fd := -1
	err := netns.Do(namespace, func() error {
		var err error
		// Not blocking, so that Close ends a Read.
		fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		request, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	})
	if err != nil {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		return nil, fmt.Errorf("make TAP device %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
