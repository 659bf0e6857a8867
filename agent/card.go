package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/buffer"
	"andon.internal/agent/inspect"
	"andon.internal/agent/state"
)

// Where the counts lie in the state, and how often they are noted there. A crash loses the
// counts since the last note that was written together with the time in which they grew, so
// that the rate stays right.
const (
	cardBucket = "card"
	cardKey    = "written"
	cardEvery  = 10 * time.Minute
)

// cardDoc is what was written by all agents that had the data folder.
type cardDoc struct {
	Version int     `json:"version"`
	Seconds float64 `json:"seconds"` // of running
	Taken   int64   `json:"taken"`   // bytes, as in buffer.Written
	Stored  int64   `json:"stored"`
	Device  int64   `json:"device"`
}

const cardVersion = 1

// card counts what is written to the disk, over all starts, and says how long a card
// bears that. Time is that in which an agent ran: the wall clock of a cell may be years
// off, and who does not run writes nothing.
type card struct {
	endurance int64
	began     time.Time
	state     *state.Front

	mu     sync.Mutex
	before cardDoc
	loaded bool           // the state had a disk then: before is what is there
	buffer *buffer.Buffer // nil before it is open
}

// openCard reads what earlier agents counted.
func openCard(s *state.Front, endurance int64) (*card, error) {
	c := &card{endurance: endurance, began: time.Now(), state: s}
	return c, c.load()
}

// load reads what earlier agents counted, also later where there was no disk at the start.
func (c *card) load() error {
	loaded := c.state.Attached()
	b, err := c.state.Get(cardBucket, cardKey)
	if err != nil {
		return err
	}
	before, err := parseCard(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.before, c.loaded = before, loaded
	return err
}

// parseCard reads the counts; those that do not read begin anew, which only makes the
// projection one of a shorter time.
func parseCard(b []byte) (doc cardDoc, err error) {
	if b == nil {
		return cardDoc{Version: cardVersion}, nil
	}
	err = json.Unmarshal(b, &doc)
	if err != nil || doc.Version != cardVersion || doc.Seconds < 0 || doc.Taken < 0 || doc.Stored < 0 || doc.Device < 0 {
		return cardDoc{Version: cardVersion}, errors.Join(errors.New("counts of what was written do not read back"), err)
	}
	return doc, nil
}

// counts returns the buffer's part, from when it is open.
func (c *card) counts(b *buffer.Buffer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buffer = b
}

// now returns all counts, and those since this start.
func (c *card) now() (all cardDoc, since int64) {
	c.mu.Lock()
	b := c.buffer
	all = c.before
	c.mu.Unlock()
	since = c.state.Written()
	if b != nil {
		w := b.Written()
		since += w.Device
		all.Taken += w.Taken
		all.Stored += w.Stored
	}
	all.Device += since
	all.Seconds += time.Since(c.began).Seconds()
	return all, since
}

func (c *card) status() inspect.Card {
	all, since := c.now()
	return cardStatus(all, since, c.endurance)
}

func cardStatus(d cardDoc, since, endurance int64) inspect.Card {
	s := inspect.Card{
		RunningSeconds: d.Seconds, ReadingBytes: d.Taken, StoredBytes: d.Stored, DeviceBytes: d.Device,
		StartBytes: since, Endurance: endurance,
	}
	s.Project()
	return s
}

// run notes the counts now and then.
func (c *card) run(ctx context.Context) error {
	tick := time.NewTicker(cardEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := exceptNoDisk(c.save()); err != nil {
			return err
		}
	}
}

// save notes the counts. Where the disk came and what it has is not read yet, there is nothing
// to add them to.
func (c *card) save() error {
	c.mu.Lock()
	loaded := c.loaded
	c.mu.Unlock()
	if !loaded {
		return nil
	}
	all, _ := c.now()
	b, err := json.Marshal(all)
	if err == nil {
		err = c.state.Note(cardBucket, cardKey, b)
	}
	if err != nil {
		return fmt.Errorf("note what was written: %w", err)
	}
	return nil
}

func (c *card) register(reg prometheus.Registerer) {
	metric := func(name, help string, of func(inspect.Card) float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "andon_card_" + name, Help: help},
			func() float64 { return of(c.status()) }))
	}
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "andon_card_written_bytes_total", Help: "Bytes of pages written to the disk by all agents that had the data folder, about.",
	}, func() float64 { return float64(c.status().DeviceBytes) }))
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "andon_card_reading_bytes_total", Help: "Bytes of the readings that they took, in the form of the buffer.",
	}, func() float64 { return float64(c.status().ReadingBytes) }))
	metric("endurance_bytes", "Bytes that the card is said to bear (buffer.endurance).", func(s inspect.Card) float64 { return float64(s.Endurance) })
	metric("life_seconds", "Time that the card lasts at the rate of writing so far; NaN before ten minutes of running.", func(s inspect.Card) float64 {
		if s.LifeSeconds == 0 {
			return math.NaN()
		}
		return s.LifeSeconds
	})
}
