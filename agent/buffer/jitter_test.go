package buffer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/buffer"
	"andon.internal/agent/roster"
	"andon.internal/agent/sampler"
	"andon.internal/agent/source"
	"andon.internal/agent/state"
	"andon.internal/shared/telemetry"
)

// poll is a live source that is polled: it reads its units when their period is over, and
// cannot while its sampler is held up. late is how long after they were due.
type poll struct {
	profile *telemetry.Profile
	units   int
	period  time.Duration
	reads   int // until its end

	start time.Time
	n     int
	late  []time.Duration
}

func (p *poll) Open(context.Context, source.Resume) error { p.start = time.Now(); return nil }
func (p *poll) Close() error                              { return nil }

func (p *poll) Read(ctx context.Context, b *source.Batch) error {
	if p.n == p.reads {
		return io.EOF
	}
	due := p.start.Add(time.Duration(p.n) * p.period)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(due)):
	}
	now := time.Now()
	p.late = append(p.late, now.Sub(due))
	values := make([]telemetry.Value, len(p.profile.Signals))
	for i := range values {
		values[i] = telemetry.DoubleValue(float64(p.n))
	}
	for u := range p.units {
		unit := fmt.Sprintf("unit-%d", u)
		if p.n == 0 {
			b.AddBirth(unit, p.profile, now.UnixNano())
		}
		b.AddReading(unit, now.UnixNano(), 0, values)
	}
	p.n++
	return nil
}

// intoBuffer is the buffer as a sampler of a live source sees it.
type intoBuffer struct{ *buffer.Buffer }

func (s intoBuffer) Append(_ string, items []sampler.Item, _ []byte) error {
	out := make([]buffer.Item, len(items))
	for i, it := range items {
		out[i] = buffer.Item{Data: it.Data, Label: it.Unit, Rows: it.Rows, First: it.First, Last: it.Last}
	}
	_, err := s.Buffer.Append(out, nil)
	return err
}

// TestPeriodIsKept: a source that is polled is read when its period is over, whatever the
// disk does, and nobody acknowledges. Time is the bubble's, which stands still while a
// processor works: so what is late was held up, and a busy machine is no excuse.
func TestPeriodIsKept(t *testing.T) {
	stuck := func(for_ time.Duration) func(time.Time) func(string) error {
		return func(from time.Time) func(string) error {
			return func(string) error {
				if at := time.Since(from); at > 2*time.Second && at < 3*time.Second {
					time.Sleep(for_)
				}
				return nil
			}
		}
	}
	for name, fault := range map[string]func(from time.Time) func(string) error{
		"healthy disk": func(time.Time) func(string) error { return func(string) error { return nil } },
		"disk is full": func(time.Time) func(string) error {
			return failing(&fs.PathError{Op: "write", Path: "record file", Err: syscall.ENOSPC})
		},
		"disk takes 20 a second":    func(time.Time) func(string) error { return slow },
		"a sync hangs 10 s":         stuck(10 * time.Second),
		"a sync hangs 10 s, fails":  stuckAndFails,
		"every write fails at once": func(time.Time) func(string) error { return failing(syscall.EIO) },
	} {
		for mode, o := range map[string]buffer.Options{"behind": {}, "ahead": {WriteAhead: true}} {
			t.Run(name+", "+mode, func(t *testing.T) {
				o.Dir, o.MaxDisk, o.MaxMemory = t.TempDir(), 8<<20, 4<<20
				reg := prometheus.NewRegistry()
				o.Metrics = buffer.NewMetrics(reg)
				synctest.Test(t, func(t *testing.T) { keepsPeriod(t, o, fault) })
				if n := counters(t, reg)["andon_buffer_no_space_total"]; (n > 0) != (name == "disk is full") {
					t.Errorf("no space was found %v times", n)
				}
			})
		}
	}
}

func keepsPeriod(t *testing.T, o buffer.Options, fault func(from time.Time) func(string) error) {
	step := fault(time.Now())
	var broken atomic.Bool // the flusher looks at it
	o.SetStep(func(name string) error {
		if !broken.Load() {
			return nil
		}
		return step(name)
	})
	b := open(t, o)
	defer func() {
		broken.Store(false)
		_ = b.Close() // a disk that failed may say so once more
	}()
	kv, err := state.Open(filepath.Join(o.Dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer kv.Close()
	r, err := roster.Open(kv, roster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	p := &poll{profile: press, units: 200, period: 100 * time.Millisecond, reads: 200}
	s, err := sampler.New(sampler.Config{Name: "plc"}, p, intoBuffer{b}, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(p.late) != p.reads {
		t.Fatalf("%d of %d reads", len(p.late), p.reads)
	}
	worst := time.Duration(0)
	for _, late := range p.late {
		worst = max(worst, late)
	}
	if worst > 0 {
		t.Errorf("a reading was taken %v late", worst)
	}
	if b.Stats().LostRecords == 0 {
		t.Error("the buffer never was full")
	}
}

var press = &telemetry.Profile{Name: "press", Version: 1, Signals: []telemetry.Signal{{Name: "force", Unit: "N", Type: telemetry.Double}}}

func failing(err error) func(string) error { return func(string) error { return err } }

func slow(string) error { time.Sleep(50 * time.Millisecond); return nil }

func stuckAndFails(from time.Time) func(string) error {
	return func(string) error {
		if time.Since(from) < 2*time.Second {
			return nil
		}
		time.Sleep(10 * time.Second)
		return errors.New("input/output error")
	}
}
