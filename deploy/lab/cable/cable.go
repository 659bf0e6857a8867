// Package cable is the network cable between a cell and the broker: a TCP proxy
// that can be cut, made silent and made slow.
//
// It is toxiproxy used as a library, so the lab needs no root for it. What it
// cannot do (loss, reordering) needs network namespaces.
package cable

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// State is what a cable is like.
type State string

// The states of a cable.
const (
	Whole  State = "whole"
	Cut    State = "cut"    // connections are closed and new ones refused
	Silent State = "silent" // nothing passes, and neither end is told: a pulled plug
	Deaf   State = "deaf"   // the cell hears nothing, but what it sends arrives: half a link
)

// ErrState says that a cable is in that state already.
var ErrState = errors.New("the cable is so already")

// names of the toxics; the direction follows.
const (
	silence = "silence"
	limit   = "limit"
)

// Cable is one proxy. Its methods are safe for concurrent use.
type Cable struct {
	mu    sync.Mutex
	proxy *toxiproxy.Proxy
	state State
	limit int // KB/s upstream; 0 without a limit
}

// Open starts a cable that listens at the address listen, with port 0 for any, and
// leads to the address to, where nothing need listen yet.
func Open(name, listen, to string) (*Cable, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, name, listen, to)
	if err := proxy.Start(); err != nil {
		return nil, fmt.Errorf("open cable of %s: %w", name, err)
	}
	return &Cable{proxy: proxy, state: Whole}, nil
}

// Addr is the address the cell connects to.
func (c *Cable) Addr() string {
	c.proxy.Lock()
	defer c.proxy.Unlock()
	return c.proxy.Listen
}

// State returns what the cable is like.
func (c *Cable) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Cut cuts the cable: how is Cut, Silent or Deaf. While it is silent or deaf both
// ends go on believing in their connections.
func (c *Cable) Cut(how State) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != Whole {
		return fmt.Errorf("cut cable of %s: %w: %s", c.proxy.Name, ErrState, c.state)
	}
	directions, known := silenced[how]
	switch {
	case how == Cut:
		c.proxy.Stop()
	case !known:
		return fmt.Errorf("cut cable of %s: %q is none of %s, %s, %s", c.proxy.Name, how, Cut, Silent, Deaf)
	}
	for _, direction := range directions {
		if err := c.add(silence, direction, "timeout", `{"timeout":0}`); err != nil {
			return err
		}
	}
	c.state = how
	return nil
}

// silenced are the directions in which nothing passes: upstream is from the cell.
var silenced = map[State][]string{
	Silent: {"upstream", "downstream"},
	Deaf:   {"downstream"},
}

// Heal mends the cable. Connections from before a silent or deaf one are closed,
// because what was sent on them in the meantime is gone.
func (c *Cable) Heal() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.state {
	case Whole:
		return fmt.Errorf("heal cable of %s: %w: %s", c.proxy.Name, ErrState, c.state)
	case Cut:
		if err := c.proxy.Start(); err != nil {
			return fmt.Errorf("heal cable of %s: %w", c.proxy.Name, err)
		}
	default:
		for _, direction := range silenced[c.state] {
			if err := c.remove(silence, direction); err != nil {
				return err
			}
		}
	}
	c.state = Whole
	return nil
}

// Limit bounds what the cell can send to kbps kilobytes a second; 0 lifts the bound.
func (c *Cable) Limit(kbps int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limit > 0 {
		if err := c.remove(limit, "upstream"); err != nil {
			return err
		}
		c.limit = 0
	}
	if kbps > 0 {
		if err := c.add(limit, "upstream", "bandwidth", fmt.Sprintf(`{"rate":%d}`, kbps)); err != nil {
			return err
		}
		c.limit = kbps
	}
	return nil
}

// Close cuts the cable for good. It may be called more than once.
func (c *Cable) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proxy.Stop()
	c.state = Cut
}

func (c *Cable) add(name, direction, kind, attributes string) error {
	spec := fmt.Sprintf(`{"name":"%s_%s","type":"%s","stream":"%s","attributes":%s}`,
		name, direction, kind, direction, attributes)
	if _, err := c.proxy.Toxics.AddToxicJson(strings.NewReader(spec)); err != nil {
		return fmt.Errorf("add %s to cable of %s: %w", name, c.proxy.Name, err)
	}
	return nil
}

func (c *Cable) remove(name, direction string) error {
	if err := c.proxy.Toxics.RemoveToxic(context.Background(), name+"_"+direction); err != nil {
		return fmt.Errorf("remove %s from cable of %s: %w", name, c.proxy.Name, err)
	}
	return nil
}
