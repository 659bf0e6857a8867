package sampler_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent/roster"
	"andon.internal/agent/sampler"
	"andon.internal/agent/source"
	"andon.internal/shared/telemetry"
)

// twice are two batches of one unit.
func twice() []func(b *source.Batch) error {
	return steps(
		func(b *source.Batch) { b.AddBirth("a", pair, ms(0)); b.AddReading("a", ms(1), 0, row(1)) },
		func(b *source.Batch) { b.AddReading("a", ms(2), 0, row(1)) },
	)
}

func checkRecords(t *testing.T, b *memory, r *roster.Roster, want string) {
	t.Helper()
	var got []string
	for _, rec := range b.records(t, r.Profile) {
		got = append(got, brief(rec))
	}
	if s := strings.Join(got, " "); s != want {
		t.Errorf("records\n got %s\nwant %s", s, want)
	}
}

// TestErrors checks that no error ends a sampler, and that none costs or doubles a
// reading.
func TestErrors(t *testing.T) {
	failing := func(times int) func(b *source.Batch) error {
		return func(b *source.Batch) error {
			if times--; times >= 0 {
				return errTemporary
			}
			b.AddReading("a", ms(2), 0, row(1))
			return nil
		}
	}
	tests := map[string]struct {
		source    *script
		appendErr error
		log       string
		opens     int
	}{
		"open fails twice": {
			&script{steps: twice(), openErrs: []error{errTemporary, errTemporary}}, nil, "source does not open", 3,
		},
		"read fails once": {
			&script{steps: []func(*source.Batch) error{twice()[0], failing(1)}}, nil, "source does not read", 1,
		},
		"read fails until the source is opened anew": {
			&script{steps: []func(*source.Batch) error{twice()[0], failing(4)}}, nil, "source does not read", 2,
		},
		"a live source likewise": {
			&script{live: true, steps: []func(*source.Batch) error{twice()[0], failing(4)}}, nil, "source does not read", 2,
		},
		"read gives nothing": {
			&script{steps: []func(*source.Batch) error{twice()[0], func() func(*source.Batch) error {
				empty := true
				return func(b *source.Batch) error {
					if empty {
						empty = false
						return nil
					}
					b.AddReading("a", ms(2), 0, row(1))
					return nil
				}
			}()}}, nil, "neither an event nor an error", 1,
		},
		"append fails": {&script{steps: twice()}, errors.New("disk is gone"), "append to buffer: disk is gone", 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			buf, ros := newMemory(), newRoster(t)
			buf.err = tc.appendErr
			var log bytes.Buffer
			c := config()
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			if name == "read gives nothing" {
				// An empty batch must not count as a step of the script.
				step := tc.source.steps[1]
				tc.source.steps[1] = func(b *source.Batch) error {
					err := step(b)
					if len(b.Events) == 0 {
						tc.source.at--
					}
					return err
				}
			}
			sm := runSampler(t, c, tc.source, buf, ros)
			checkRecords(t, buf, ros, "a/0+0[1] a/0+1[2]")
			if len(tc.source.opened) != tc.opens {
				t.Errorf("opened %d times, want %d", len(tc.source.opened), tc.opens)
			}
			for _, want := range []string{tc.log, "recovered", "source has ended"} {
				if strings.Count(log.String(), want) == 0 {
					t.Errorf("the log does not say %q:\n%s", want, &log)
				}
			}
			if strings.Count(log.String(), "retry_in") != 1 {
				t.Errorf("the log is not throttled:\n%s", &log)
			}
			if st := sm.State(); st.Err != nil || st.Open {
				t.Errorf("state at the end: %+v", st)
			}
		})
	}
}

// TestState checks that a trouble that lasts can be seen from outside.
func TestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &script{live: true, openErrs: make([]error, 1000)}
		for i := range src.openErrs {
			src.openErrs[i] = errTemporary
		}
		sm, err := sampler.New(config(), src, newMemory(), noRoster{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		begin := time.Now()
		go func() { done <- sm.Run(ctx) }()
		time.Sleep(time.Second)
		if st := sm.State(); !errors.Is(st.Err, errTemporary) || st.Open || st.Since != begin {
			t.Errorf("state %+v, want the error of opening", st)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run gave %v", err)
		}
	})
}

// noRoster has no disk under it, for tests in which time stands still.
type noRoster struct{}

func (noRoster) Runs(string) []source.Run                      { return nil }
func (noRoster) Restore(string, []source.Run) error            { return nil }
func (noRoster) Remember(*telemetry.Profile) error             { return nil }
func (noRoster) Births(string, ...source.Run) error            { return nil }
func (noRoster) Deaths(string, ...string) error                { return nil }
func (noRoster) Took(string, uint64, int64, []telemetry.Value) {}
func (noRoster) Profile(uint64) *telemetry.Profile             { return pair }

// TestFullBuffer checks that a rereadable source waits for room and loses nothing.
func TestFullBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		buf := newMemory()
		buf.room = 1
		src := &script{steps: twice()}
		sm, err := sampler.New(config(), src, buf, noRoster{})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- sm.Run(t.Context()) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(buf.items) != 1 || src.at != 2 {
			t.Errorf("%d items after %d reads: the source did not wait", len(buf.items), src.at)
		}
		buf.space <- struct{}{}
		if err := <-done; err != nil || len(buf.items) != 2 {
			t.Errorf("run gave %v, %d items", err, len(buf.items))
		}
	})
}

// TestFullBufferStopped checks that a sampler that waits for room can be stopped,
// and that the next one takes up the batch.
func TestFullBufferStopped(t *testing.T) {
	buf, ros := newMemory(), newRoster(t)
	buf.room = 1
	sm, err := sampler.New(config(), &script{steps: twice()}, buf, ros)
	if err != nil {
		t.Fatal(err)
	}
	runUntil(t, sm, "it waits for room", func() bool { return buf.refusals() > 0 })
	if sm.State().Ended {
		t.Fatalf("it has ended: %+v", sm.State())
	}
	checkRecords(t, buf, ros, "a/0+0[1]")
	buf.room = -1
	runSampler(t, config(), &script{steps: twice()}, buf, ros)
	checkRecords(t, buf, ros, "a/0+0[1] a/0+1[2]")
}

// TestLiveInParts checks that a live source's batch is divided where the buffer does
// not take it at once.
func TestLiveInParts(t *testing.T) {
	buf, ros := newMemory(), newRoster(t)
	buf.most = 2
	runSampler(t, config(), &script{live: true, steps: steps(func(b *source.Batch) {
		for _, unit := range []string{"a", "b", "c", "d", "e"} {
			b.AddBirth(unit, pair, ms(0))
			b.AddReading(unit, ms(1), 0, row(1))
		}
	})}, buf, ros)
	checkRecords(t, buf, ros, "a/0+0[1] b/0+0[1] c/0+0[1] d/0+0[1] e/0+0[1]")
}

// TestReopenedBehindMemory checks that a source that is opened anew goes on behind
// what the buffer took, also when that is not on disk yet.
func TestReopenedBehindMemory(t *testing.T) {
	buf, ros := newMemory(), newRoster(t)
	failures := 3
	src := &script{steps: append(twice(), func(b *source.Batch) error {
		if failures--; failures >= 0 {
			return errTemporary
		}
		b.AddReading("a", ms(3), 0, row(1))
		return nil
	})}
	runSampler(t, config(), src, &lagging{memory: buf}, ros)
	checkRecords(t, buf, ros, "a/0+0[1] a/0+1[2] a/0+2[3]")
	if len(src.opened) != 2 {
		t.Errorf("opened %d times, want 2", len(src.opened))
	}
}

// lagging is a buffer whose disk has not got beyond the first append.
type lagging struct {
	*memory
	stored []byte
}

func (l *lagging) Append(name string, items []sampler.Item, cursor []byte) error {
	if l.stored == nil {
		l.stored = cursor
	}
	return l.memory.Append(name, items, cursor)
}

func (l *lagging) Cursor(string) ([]byte, error) { return l.stored, nil }

// TestGather checks that a live source is not read more often than asked.
func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config()
		c.Gather = 10 * time.Millisecond
		var at []time.Duration
		begin := time.Now()
		src := &script{live: true}
		for range 4 {
			src.steps = append(src.steps, func(b *source.Batch) error {
				at = append(at, time.Since(begin))
				b.AddBirth("a", pair, ms(len(at)))
				if len(at) == 2 {
					time.Sleep(time.Second) // nothing was due for a while
				}
				return nil
			})
		}
		runSampler(t, c, src, newMemory(), noRoster{})
		want := []time.Duration{0, 10 * time.Millisecond, 1020 * time.Millisecond, 1030 * time.Millisecond}
		for i := range want {
			if at[i] != want[i] {
				t.Errorf("read at %v, want %v", at, want)
				break
			}
		}
	})
}
