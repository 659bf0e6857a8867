package sampler_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon.internal/agent/clock"
	"andon.internal/agent/record"
	"andon.internal/agent/roster"
	"andon.internal/agent/sampler"
	"andon.internal/agent/source"
	"andon.internal/agent/state"
	"andon.internal/shared/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func limit(f float64) *float64 { return &f }

// pair has a ranged double and a boolean.
var pair = &telemetry.Profile{Name: "pair", Version: 1, Signals: []telemetry.Signal{
	{Name: "torque_nm", Type: telemetry.Double, Min: limit(-10), Max: limit(10)},
	{Name: "running", Type: telemetry.Boolean},
}}

// row returns values of pair.
func row(torque float64) []telemetry.Value {
	return []telemetry.Value{telemetry.DoubleValue(torque), telemetry.BooleanValue(true)}
}

// memory is a buffer in memory: what Append took is durable.
type memory struct {
	mu     sync.Mutex
	items  []sampler.Item
	cursor map[string][]byte
	room   int           // appends with a cursor until it is full; below 0: no bound
	space  chan struct{} // WaitSpace waits for it
	most   int           // items of one append; 0: no bound
	err    error         // of the next append
	calls  int
	full   int // appends for which there was no room
	looked int // at a cursor
}

func newMemory() *memory {
	return &memory{cursor: map[string][]byte{}, room: -1, space: make(chan struct{})}
}

func (m *memory) Append(name string, items []sampler.Item, cursor []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if err := m.err; err != nil {
		m.err = nil
		return err
	}
	if m.most > 0 && len(items) > m.most {
		return fmt.Errorf("%d items: %w", len(items), sampler.ErrTooLarge)
	}
	if cursor != nil {
		if m.room == 0 {
			m.full++
			return sampler.ErrFull
		}
		m.room--
		m.cursor[name] = slices.Clone(cursor)
	}
	m.items = append(m.items, items...)
	return nil
}

// refusals returns how many appends found no room.
func (m *memory) refusals() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.full
}

func (m *memory) Cursor(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looked++
	return m.cursor[name], nil
}

func (m *memory) WaitSpace(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-m.space:
		m.mu.Lock()
		defer m.mu.Unlock()
		m.room = -1
		return nil
	}
}

// looks returns how often a cursor was asked for.
func (m *memory) looks() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.looked
}

// records decodes what was appended.
func (m *memory) records(t *testing.T, profile func(uint64) *telemetry.Profile) []*telemetry.Record {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*telemetry.Record
	for _, it := range m.items {
		r, err := record.Decode(it.Data, profile)
		if err != nil {
			t.Fatal(err)
		}
		if it.Unit != r.Unit || it.Rows != r.Len() {
			t.Errorf("item of %s with %d rows holds a record of %s with %d", it.Unit, it.Rows, r.Unit, r.Len())
		}
		if r.Len() > 0 && (it.First != r.Times[0] || it.Last != r.Times[r.Len()-1]) {
			t.Errorf("item from %d to %d holds a record from %d to %d", it.First, it.Last, r.Times[0], r.Times[r.Len()-1])
		}
		out = append(out, r)
	}
	return out
}

// newRoster opens a roster on a real store.
func newRoster(t *testing.T) *roster.Roster {
	t.Helper()
	kv, err := state.Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kv.Close() })
	return openRoster(t, kv)
}

// newRosterKnowing opens a roster that has seen a profile.
func newRosterKnowing(t *testing.T, p *telemetry.Profile) *roster.Roster {
	t.Helper()
	r := newRoster(t)
	if err := r.Remember(p); err != nil {
		t.Fatal(err)
	}
	return r
}

func openRoster(t *testing.T, kv roster.KV) *roster.Roster {
	t.Helper()
	r, err := roster.Open(kv, roster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// script is a source that gives what its steps say, and then ends. A step adds
// events, or returns an error instead.
type script struct {
	steps    []func(b *source.Batch) error
	openErrs []error
	at       int
	opened   []source.Resume
	closed   int
	live     bool
}

func (s *script) Open(_ context.Context, from source.Resume) error {
	s.opened = append(s.opened, from)
	if len(s.openErrs) > 0 {
		err := s.openErrs[0]
		s.openErrs = s.openErrs[1:]
		return err
	}
	if !s.live && from.Cursor != nil {
		s.at = int(from.Cursor[0])
	}
	return nil
}

func (s *script) Read(ctx context.Context, b *source.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.at == len(s.steps) {
		return io.EOF
	}
	if err := s.steps[s.at](b); err != nil {
		return err
	}
	s.at++
	if !s.live {
		b.Cursor = []byte{byte(s.at)}
	}
	return nil
}

func (s *script) Close() error { s.closed++; return nil }

// steps makes steps that give events.
func steps(list ...func(b *source.Batch)) []func(b *source.Batch) error {
	var out []func(b *source.Batch) error
	for _, f := range list {
		out = append(out, func(b *source.Batch) error { f(b); return nil })
	}
	return out
}

var errTemporary = errors.New("the PLC does not answer")

// base is the time of the tests' readings in unix ns.
var base = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano()

// steady is a clock that was right all the time.
func steady() clock.Time { return clock.Time{Wall: base, Boot: 1e12} }

func config() sampler.Config {
	return sampler.Config{Name: "line1", Boot: [16]byte{7}, Clock: steady, Gather: -1, RetryMin: time.Millisecond, RetryMax: 5 * time.Millisecond}
}

// runUntil runs a sampler until what is waited for has happened, and stops it.
func runUntil(t *testing.T, sm *sampler.Sampler, what string, happened func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- sm.Run(ctx) }()
	for end := time.Now().Add(time.Minute); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("not within a minute: %s", what)
			break
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// runSampler runs a sampler to the end of its source.
func runSampler(t *testing.T, c sampler.Config, s source.Source, b sampler.Buffer, r sampler.Roster) *sampler.Sampler {
	t.Helper()
	sm, err := sampler.New(c, s, b, r)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := sm.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if !sm.State().Ended {
		t.Fatalf("the source did not end: %+v", sm.State())
	}
	return sm
}
