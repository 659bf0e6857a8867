package plant

import (
	"strings"
	"time"

	"andon.internal/shared/telemetry"
)

// Link is the state of the way to a cell.
type Link string

// The links.
const (
	Online  Link = "online"
	Silent  Link = "silent"  // it says nothing, and nobody said that it is gone
	Offline Link = "offline" // its death was announced
)

// Buffer is what a cell says of itself every two seconds.
type Buffer struct {
	Rows     uint64                // readings in its buffer, those in flight included
	Bytes    uint64                // of their records
	Oldest   time.Duration         // age of the oldest of them
	Lost     uint64                // readings lost since the agent's start
	DiskFree uint64                // bytes
	Clock    telemetry.TimeQuality // of its clock
	Stops    uint32                // active stops
}

// Cell is one cell at one moment.
type Cell struct {
	Node    telemetry.Node
	Link    Link
	Since   time.Time // of the link's state
	Heard   time.Time // when it last said anything
	Version string    // of its agent
	Buffer  Buffer
	Beaten  time.Time     // when Buffer came; zero: it has not said
	Lag     time.Duration // from taking a reading to its arrival here, of the last live record
	Units   int           // on test
	// CatchUp is how long the backlog takes to come home at the pace of late; 0 where there
	// is none or it is not known yet, and Never where it does not shrink.
	CatchUp time.Duration
	// Reckoned: the cell says nothing, so Buffer.Rows, Buffer.Oldest and Lag are what they
	// must be if its units go on as they did.
	Reckoned bool
}

type cell struct {
	Cell
	dead     bool
	changed  uint64
	reckoned time.Time // when its figures were last worked out
	drain    drain
}

// reckonEvery is how often the figures of a cell that says nothing are worked out.
const reckonEvery = time.Second

// viewCell is the cell at now.
func (p *Plant) viewCell(c *cell, now time.Time) Cell {
	v := c.Cell
	if v.Link == Online || v.Beaten.IsZero() {
		return v
	}
	v.Reckoned, v.CatchUp = true, 0
	v.Lag = max(v.Lag, now.Sub(v.Heard))
	v.Buffer.Oldest += now.Sub(v.Heard)
	for _, u := range p.units {
		if u.id.group == v.Node.Group && u.node == v.Node.ID && u.died.IsZero() && u.period > 0 {
			v.Buffer.Rows += uint64(max(now.Sub(u.heard), 0) / u.period)
		}
	}
	return v
}

// judgeCell sets the link's state for now.
func (p *Plant) judgeCell(c *cell, now time.Time) {
	link := Online
	switch {
	case c.dead:
		link = Offline
	case now.Sub(c.Heard) > p.config.Silence:
		link = Silent
	}
	if link != Online && now.Sub(c.reckoned) >= reckonEvery {
		c.reckoned, c.changed = now, p.next()
	}
	if link == c.Link {
		return
	}
	c.Link, c.Since, c.changed = link, now, p.next()
	if link == Silent {
		c.Since = c.Heard
	}
}

// hear notes a sign of life. It returns nil when there is no room for another cell.
func (p *Plant) hear(now time.Time, n telemetry.Node) *cell {
	p.heard = now
	c := p.cells[n]
	if c == nil {
		if len(p.cells) >= p.config.Limits.Cells && !p.evictCell() {
			p.config.Metrics.refused.WithLabelValues("cell").Inc()
			return nil
		}
		// The names are parts of a whole topic; a cell outlives it.
		n = telemetry.Node{Group: strings.Clone(n.Group), ID: strings.Clone(n.ID)}
		c = &cell{Cell: Cell{Node: n}}
		p.cells[n] = c
	}
	c.Heard, c.changed = now, p.next()
	return c
}

// evictCell forgets the cell that has been gone longest.
func (p *Plant) evictCell() bool {
	var oldest *cell
	for _, c := range p.cells {
		if c.Link != Online && (oldest == nil || c.Heard.Before(oldest.Heard)) {
			oldest = c
		}
	}
	if oldest == nil {
		return false
	}
	delete(p.cells, oldest.Node)
	return true
}

// NodeBorn says that a cell's agent is there.
func (p *Plant) NodeBorn(now time.Time, n telemetry.Node, version string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.hear(now, n); c != nil {
		c.dead, c.Version = false, version
		p.judgeCell(c, now)
	}
}

// NodeHeard says that a cell gave a sign of life that says nothing else.
func (p *Plant) NodeHeard(now time.Time, n telemetry.Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.hear(now, n); c != nil {
		p.judgeCell(c, now)
	}
}

// NodeDied says that a cell's death was announced, by itself or by the broker.
func (p *Plant) NodeDied(now time.Time, n telemetry.Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.cells[n]
	if c == nil {
		return
	}
	c.dead = true
	p.judgeCell(c, now)
	p.judgeUnitsOf(n, now)
}

// Heartbeat takes what a cell says of itself.
func (p *Plant) Heartbeat(now time.Time, n telemetry.Node, b Buffer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.hear(now, n); c != nil {
		c.dead, c.Buffer, c.Beaten = false, b, now
		c.CatchUp = c.drain.add(now, b)
		p.judgeCell(c, now)
	}
}
