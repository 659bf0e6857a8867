package plant

import (
	"sync"
	"time"

	"andon.internal/shared/alarm"
	"andon.internal/shared/telemetry"
)

// Window is how far back the trends of [Plant.Trend] go, in steps of one second.
const Window = 15 * time.Minute

// Limits bounds what a Plant remembers. The zero value of each field means its
// default.
type Limits struct {
	Cells int // 1,024
	Units int // also of ended runs; 4,096
	// Signals bounds the trends: each signal costs 3.6 KB, and 11 KB where readings
	// come more often than once a second. Units beyond it have no trend; 32,768.
	Signals int
	Alarms  int // also those closed within Window; 2,000
}

// Config configures a Plant. The zero value of each field means its default.
type Config struct {
	Limits Limits
	// Silence is how long a cell may say nothing before its link counts as lost. It
	// says something every 2 s; 5 s.
	Silence time.Duration
	// Stale is the shortest time without a reading after which a unit is stale: it is
	// the longer of Stale and three periods of the unit; 5 s.
	Stale time.Duration
	// Linger is how long a unit is shown after its run ended; 10 min.
	Linger time.Duration
	// Metrics counts what the limits cost; default: counts, unregistered.
	Metrics *Metrics
}

func (c Config) withDefaults() Config {
	c.Limits.Cells = orDefault(c.Limits.Cells, 1024)
	c.Limits.Units = orDefault(c.Limits.Units, 4096)
	c.Limits.Signals = orDefault(c.Limits.Signals, 32768)
	c.Limits.Alarms = orDefault(c.Limits.Alarms, 2000)
	c.Silence = orDefault(c.Silence, 5*time.Second)
	c.Stale = orDefault(c.Stale, 5*time.Second)
	c.Linger = orDefault(c.Linger, 10*time.Minute)
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	return c
}

func orDefault[T int | time.Duration](v, fallback T) T {
	if v <= 0 {
		return fallback
	}
	return v
}

// Plant is the live picture.
type Plant struct {
	config  Config
	alarmed chan struct{}

	mu       sync.Mutex
	version  uint64 // rises with every change of anything
	keys     uint32 // given to units
	cells    map[telemetry.Node]*cell
	units    map[unitID]*unit
	alarms   map[string]*heldAlarm
	gone     []removed // units that are no longer shown, oldest first
	lostGone uint64    // version up to which gone is incomplete
	signals  int       // of units that have a trend
	readings uint64
	heard    time.Time
}

type unitID struct{ group, unit string }

// removed notes that a unit is no longer shown.
type removed struct {
	key     uint32
	version uint64
}

// maxGone bounds the notes about removed units; who was away longer reads a snapshot.
const maxGone = 1024

// New returns an empty Plant.
func New(c Config) *Plant {
	return &Plant{
		config:  c.withDefaults(),
		alarmed: make(chan struct{}, 1),
		cells:   map[telemetry.Node]*cell{},
		units:   map[unitID]*unit{},
		alarms:  map[string]*heldAlarm{},
	}
}

// Alarmed is signalled after an alarm changed, so that it can be shown at once. It
// has room for one signal and is meant for one reader.
func (p *Plant) Alarmed() <-chan struct{} { return p.alarmed }

// next gives the version of a change.
func (p *Plant) next() uint64 {
	p.version++
	return p.version
}

// Picture is the plant, or what changed of it, at one moment. It is the receiver's
// own; slices inside of it are not written to by anybody.
type Picture struct {
	Version  uint64 // for the next [Plant.Changes]
	Units    []Unit // in no order
	Gone     []uint32
	Cells    []Cell
	Alarms   []alarm.Alarm // open ones, and those closed within Window
	Readings uint64        // received since the start
	Heard    time.Time     // when anything was last heard from a cell; zero: never
}

// Snapshot returns everything at now.
func (p *Plant) Snapshot(now time.Time) Picture {
	pic, _ := p.Changes(now, 0)
	return pic
}

// Changes returns what changed since a version that an earlier Picture carried; a
// unit that is no longer shown is in Gone. ok is false when that is so long ago that
// it can no longer be told: the Picture is a snapshot then.
func (p *Plant) Changes(now time.Time, since uint64) (pic Picture, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tick(now)
	if ok = since == 0 || (since >= p.lostGone && since <= p.version); !ok {
		since = 0
	}
	pic = Picture{Version: p.version, Readings: p.readings, Heard: p.heard}
	for _, u := range p.units {
		if u.changed > since {
			pic.Units = append(pic.Units, u.view())
		}
	}
	for _, c := range p.cells {
		if c.changed > since {
			pic.Cells = append(pic.Cells, p.viewCell(c, now))
		}
	}
	for _, a := range p.alarms {
		if a.changed > since {
			pic.Alarms = append(pic.Alarms, a.Alarm)
		}
	}
	if since > 0 {
		for _, g := range p.gone {
			if g.version > since {
				pic.Gone = append(pic.Gone, g.key)
			}
		}
	}
	return pic, ok
}

// tick lets time pass: links are lost, units go stale and are forgotten.
func (p *Plant) tick(now time.Time) {
	for _, c := range p.cells {
		p.judgeCell(c, now)
	}
	for id, u := range p.units {
		if !u.died.IsZero() && now.Sub(u.ended) > p.config.Linger {
			p.forget(id, u)
			continue
		}
		p.judgeUnit(u, now)
	}
	for id, a := range p.alarms {
		if a.closed && now.Sub(a.heard) > Window {
			delete(p.alarms, id)
		}
	}
}

// forget drops a unit and notes it.
func (p *Plant) forget(id unitID, u *unit) {
	delete(p.units, id)
	if u.trend != nil {
		p.signals -= len(u.profile.Signals)
	}
	if len(p.gone) >= maxGone {
		p.lostGone = p.gone[0].version
		p.gone = append(p.gone[:0], p.gone[1:]...)
	}
	p.gone = append(p.gone, removed{u.key, p.next()})
}
