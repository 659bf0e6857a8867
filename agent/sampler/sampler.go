// Package sampler reads one source and puts its readings, grouped into records, into
// the buffer.
//
// It stands between a driver and the buffer: Read, group by unit, note on the roster,
// append. It marks what can be seen from outside of a reading (a missing value, one
// out of its range, a clock that was set or never set) and gives each record its
// run's identity and count.
//
// What it promises: the events of one Read are in the buffer all or not at all, in
// order. A rereadable source is held back when the buffer is full, and continues
// after a crash exactly behind what is durable: its cursor is stored in one
// transaction with the records, and the active runs and their counts with it. A live
// source is never held back by the buffer. No error of a source or a disk ends a
// sampler: it tries again until its context ends, and says so.
package sampler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"andon.internal/agent/clock"
	"andon.internal/agent/source"
	"andon.internal/shared/telemetry"
)

var (
	// ErrFull is what [Buffer.Append] wraps when a rereadable source must wait.
	ErrFull = errors.New("buffer is full")
	// ErrTooLarge is what [Buffer.Append] wraps when the items are more than it could
	// ever take at once. The sampler then appends them in parts.
	ErrTooLarge = errors.New("more than the buffer takes at once")
)

// Item is one encoded record (see agent/record) for the buffer.
type Item struct {
	Unit        string
	Data        []byte // belongs to the buffer after an Append that gave no error
	Rows        int
	First, Last int64 // unix ns of the first and last reading; of an end without readings: its time
	Around      bool  // lies around an alarm: it is lost last
	Raised      bool  // the alarm was raised by it: what the unit gave shortly before is lost last too
}

// Guard says which records lie around an alarm: see agent/guard.
type Guard interface {
	Watch(now time.Time, r *telemetry.Record) (around, raised bool)
}

// Buffer is where records go.
type Buffer interface {
	// Append takes the items in order, all or none. A cursor that is not nil is stored
	// under the source's name in one transaction with them, and then ErrFull means
	// that nothing was taken for want of room. Without a cursor it never blocks. It
	// need not wait for the disk: what it took, it takes to the disk in order.
	Append(sourceName string, items []Item, cursor []byte) error
	// Cursor returns the cursor that was stored last, or nil when there is none.
	Cursor(sourceName string) ([]byte, error)
	// WaitSpace blocks until an Append that gave ErrFull is worth another try.
	WaitSpace(ctx context.Context) error
}

// Roster is who is on test: see agent/roster.
type Roster interface {
	Runs(sourceName string) []source.Run
	Restore(sourceName string, runs []source.Run) error
	Remember(p *telemetry.Profile) error
	Births(sourceName string, runs ...source.Run) error
	Deaths(sourceName string, units ...string) error
	Took(unit string, count uint64, lastTime int64, last []telemetry.Value)
	Profile(fingerprint uint64) *telemetry.Profile
}

// The defaults of a Config.
const (
	DefaultMaxBytes = 160 << 10
	DefaultGather   = 5 * time.Millisecond
	DefaultRetryMin = 100 * time.Millisecond
	DefaultRetryMax = 30 * time.Second
)

// maxMaxBytes keeps a record within what the buffer and the wire take.
const maxMaxBytes = 224 << 10

// Config of a sampler. Name is required.
type Config struct {
	Name     string            // the source's name
	Boot     [16]byte          // the machine's boot id, see agent/clock; zero where it has none
	Clock    func() clock.Time // default clock.Now
	MaxBytes int               // estimated bytes of a record on the wire; default DefaultMaxBytes
	Gather   time.Duration     // least time between two reads of a live source, so that a fast one gives records of several rows; default DefaultGather, below 0 none
	RetryMin time.Duration     // first wait after an error; default DefaultRetryMin
	RetryMax time.Duration     // longest wait; default DefaultRetryMax
	Logger   *slog.Logger      // default: none
	Metrics  *Metrics          // default: counted, not registered
	Guard    Guard             // default: nothing lies around an alarm
}

func (c Config) withDefaults() (Config, error) {
	if err := telemetry.CheckID("source", c.Name); err != nil {
		return c, err
	}
	if c.Clock == nil {
		c.Clock = clock.Now
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.MaxBytes < 0 || c.MaxBytes > maxMaxBytes {
		return c, fmt.Errorf("records of %d bytes: the limit is %d", c.MaxBytes, maxMaxBytes)
	}
	if c.Gather == 0 {
		c.Gather = DefaultGather
	}
	if c.RetryMin <= 0 {
		c.RetryMin = DefaultRetryMin
	}
	if c.RetryMax <= 0 {
		c.RetryMax = DefaultRetryMax
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = c.Logger.With("source", c.Name)
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	return c, nil
}

// State is how a sampler is doing.
type State struct {
	Open  bool      // the source is open
	Ended bool      // the source has ended for good
	Err   error     // what keeps readings from flowing; nil when all is well
	Since time.Time // of Err

	Readings uint64    // put into the buffer since the start
	Refused  uint64    // events that broke the rules of a source and were passed over
	Latest   time.Time // when the last reading was put into the buffer; zero before the first
}

// Sampler runs one source.
type Sampler struct {
	cfg    Config
	src    source.Source
	buf    Buffer
	roster Roster
	counts counters
	group  *grouper

	// What the source is opened with. Once it was read from the buffer, memory knows
	// better: the disk may lag behind what the buffer took.
	loaded bool
	base   mark // behind the last batch
	skip   int  // events behind base that were stored by an earlier process
	left   int  // of skip, behind the batch at hand

	mu    sync.Mutex
	state State

	opening, reading, storing *trouble
}

// New checks the configuration and does no I/O.
func New(c Config, s source.Source, b Buffer, r Roster) (*Sampler, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("sampler: %w", err)
	}
	counts := c.Metrics.of(c.Name)
	return &Sampler{
		cfg: c, src: s, buf: b, roster: r, counts: counts, group: newGrouper(c, counts),
		opening: newTrouble(c, "source does not open", counts.openErrors),
		reading: newTrouble(c, "source does not read", counts.readErrors),
		storing: newTrouble(c, "readings are not stored", counts.storeErrors),
	}, nil
}

// State tells how it goes. Safe for concurrent use.
func (s *Sampler) State() State {
	s.mu.Lock()
	st := s.state
	s.mu.Unlock()
	st.Refused = s.group.refusals.Load()
	for _, t := range []*trouble{s.storing, s.reading, s.opening} {
		if since, err := t.now(); err != nil {
			st.Err, st.Since = err, since
		}
	}
	return st
}

// tookReadings notes that readings are in the buffer.
func (s *Sampler) tookReadings(records []*telemetry.Record) {
	n := 0
	for _, r := range records {
		n += r.Len()
	}
	if n > 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.state.Readings += uint64(n)
		s.state.Latest = time.Now()
	}
}

func (s *Sampler) setState(open, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Open, s.state.Ended = open, ended
}

// readFailures is after how many failed reads in a row a source is opened anew.
const readFailures = 3

// Run samples until ctx ends or the source does, and closes the source. It returns
// nil in both cases; State tells them apart. It must be called once.
func (s *Sampler) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.open(ctx); err != nil {
			s.opening.failed(ctx, err)
			continue
		}
		s.opening.over()
		s.setState(true, false)
		ended := s.read(ctx)
		s.setState(false, ended)
		if err := s.src.Close(); err != nil {
			s.cfg.Logger.Warn("source does not close", "error", err)
		}
		if ended {
			s.cfg.Logger.Info("source has ended")
			break
		}
	}
	return nil
}

// open opens the source behind what is stored.
func (s *Sampler) open(ctx context.Context) error {
	if !s.loaded {
		if err := s.load(); err != nil {
			return err
		}
		s.loaded = true
	}
	if s.base.Cursor == nil && s.skip == 0 {
		s.base.Runs = s.roster.Runs(s.cfg.Name)
	}
	s.group.restore(s.base.Runs)
	return s.src.Open(ctx, s.base.Resume)
}

// load reads what an earlier process stored.
func (s *Sampler) load() error {
	stored, err := s.buf.Cursor(s.cfg.Name)
	if err != nil {
		return fmt.Errorf("read cursor: %w", err)
	}
	if stored == nil {
		return nil
	}
	m, err := decodeMark(stored, s.roster.Profile)
	if err != nil {
		return fmt.Errorf("%w: %w", source.ErrRefused, err)
	}
	// The cursor is of one transaction with the records, so it is right where the
	// roster is not.
	if err := s.roster.Restore(s.cfg.Name, m.Runs); err != nil {
		return err
	}
	s.base, s.skip = m, m.Skip
	return nil
}

// read reads and stores batch after batch. It returns true when the source has
// ended; false when ctx has, or when the source is to be opened anew.
func (s *Sampler) read(ctx context.Context) (ended bool) {
	var b source.Batch
	for failed := 0; failed < readFailures; {
		b.Reset()
		err := s.src.Read(ctx, &b)
		switch {
		case err == io.EOF:
			return true
		case err != nil && ctx.Err() != nil:
			return false
		case err == nil && len(b.Events) == 0:
			err = errors.New("source gave neither an event nor an error")
		}
		if err != nil {
			failed++
			s.reading.failed(ctx, err)
			continue
		}
		failed = 0
		s.reading.over()
		taken := time.Now()
		if !s.store(ctx, &b) {
			return false
		}
		s.counts.store.Observe(time.Since(taken).Seconds())
		if b.Cursor == nil {
			wait(ctx, s.cfg.Gather-time.Since(taken))
		}
	}
	return false
}
