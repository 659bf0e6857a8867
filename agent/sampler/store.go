package sampler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"andon.internal/agent/record"
	"andon.internal/agent/source"
	"andon.internal/shared/telemetry"
)

// store puts a batch into the buffer, and tries until it is there. It returns false
// when ctx ended before that.
func (s *Sampler) store(ctx context.Context, b *source.Batch) bool {
	s.group.look()
	for i := range b.Events {
		if late := b.Events[i].Late; late > 0 {
			s.counts.late.Observe(late.Seconds())
		}
	}
	if b.Cursor != nil && s.base.Cursor == nil {
		// Nothing of this source is durable yet. The roster may know runs of an agent
		// that died before its first append was on disk; their readings come again.
		for i := range s.base.Runs {
			s.base.Runs[i].Count = 0
		}
		s.group.restore(s.base.Runs)
	}
	from, skipped := 0, 0
	if !bytes.Equal(b.Cursor, s.base.Cursor) {
		from, skipped = behind(b.Events, s.skip)
	} // else it passes over nothing of the source: ends of runs that are not in it
	s.left = s.skip - skipped
	if from > 0 {
		// The records of these events are stored; the runs are brought up to them.
		ch := s.group.take(b.Events[:from])
		if !s.announce(ctx, &ch) {
			return false
		}
		s.tellLatest(&ch)
	}
	if !s.put(ctx, b, from, len(b.Events)) {
		return false
	}
	s.skip = s.left
	if b.Cursor != nil {
		s.base = mark{Resume: source.Resume{Cursor: slices.Clone(b.Cursor), Runs: s.group.active()}}
	}
	s.storing.over()
	return true
}

// behind returns the index behind the n-th reading, or that of the end where there
// are fewer, and how many readings lie before it.
func behind(events []source.Event, n int) (index, readings int) {
	if n == 0 {
		return 0, 0
	}
	for i := range events {
		if events[i].Kind != source.Reading {
			continue
		}
		if readings++; readings == n {
			return i + 1, n
		}
	}
	return len(events), readings
}

// put stores the events from..to-1 of a batch. Where the buffer does not take them
// at once, they go in parts. The mark of a part in the midst of a batch is the one
// before the batch, and how many readings behind it are stored.
func (s *Sampler) put(ctx context.Context, b *source.Batch, from, to int) bool {
	if from == to {
		return true
	}
	ch := s.group.take(b.Events[from:to])
	// The roster comes first: a record must be readable, and its unit known, before
	// the uplink sees it.
	if !s.announce(ctx, &ch) {
		return false
	}
	var cursor []byte
	middle := 0
	if b.Cursor != nil {
		middle = split(b.Events, from, to)
		m := mark{Resume: source.Resume{Cursor: b.Cursor, Runs: s.group.active()}, Skip: s.left}
		if to < len(b.Events) {
			_, stored := behind(b.Events[:to], len(b.Events))
			m = mark{Resume: s.base.Resume, Skip: stored}
		}
		cursor = encodeMark(m)
	}
	err := s.append(ctx, s.encode(ch.records), cursor, middle > 0)
	if errors.Is(err, ErrTooLarge) {
		s.group.restore(s.base.Runs)
		s.group.take(b.Events[:from])
		return s.put(ctx, b, from, middle) && s.put(ctx, b, middle, to)
	}
	if err != nil {
		return false
	}
	s.counts.stored(ch.records)
	s.tookReadings(ch.records)
	s.tellLatest(&ch)
	return true
}

// split returns a place between from and to, about in the middle and right behind a
// reading, or 0 where there is none.
func split(events []source.Event, from, to int) int {
	middle := (from + to) / 2
	for i := middle; i < to-1; i++ {
		if events[i].Kind == source.Reading {
			return i + 1
		}
	}
	for i := middle - 1; i >= from; i-- {
		if events[i].Kind == source.Reading {
			return i + 1
		}
	}
	return 0
}

// tellLatest tells the roster what the units on test have now, and which are not on
// test any more.
func (s *Sampler) tellLatest(ch *changes) {
	for _, r := range ch.touched {
		s.roster.Took(r.Unit, r.Count, r.lastTime, r.last)
	}
	if len(ch.deaths) == 0 {
		return
	}
	if err := s.roster.Deaths(s.cfg.Name, ch.deaths...); err != nil {
		s.cfg.Logger.Error("ended units not taken off the roster", "error", err)
	}
}

// announce tells the roster of new profiles and runs, until it takes them or ctx ends.
func (s *Sampler) announce(ctx context.Context, ch *changes) bool {
	for {
		err := s.tell(ch)
		if err == nil {
			return true
		}
		if !s.storing.failed(ctx, err) {
			return false
		}
	}
}

func (s *Sampler) tell(ch *changes) error {
	for _, p := range ch.profiles {
		if err := s.roster.Remember(p); err != nil {
			return err
		}
	}
	if len(ch.births) == 0 {
		return nil
	}
	return s.roster.Births(s.cfg.Name, ch.births...)
}

// append appends until it succeeds or ctx ends. It returns ErrTooLarge only where the
// caller can divide what it wants stored. Items without a cursor need not go
// together, so they are divided here.
func (s *Sampler) append(ctx context.Context, items []Item, cursor []byte, divisible bool) error {
	for len(items) > 0 || cursor != nil {
		err := s.buf.Append(s.cfg.Name, items, cursor)
		large := errors.Is(err, ErrTooLarge)
		switch {
		case err == nil:
			return nil
		case large && divisible:
			return err
		case large && cursor == nil && len(items) > 1:
			half := len(items) / 2
			if err := s.append(ctx, items[:half], nil, false); err != nil {
				return err
			}
			items = items[half:]
			continue
		case errors.Is(err, ErrFull):
			s.counts.fullWaits.Inc()
			if err = s.buf.WaitSpace(ctx); err == nil {
				continue
			}
		}
		if !s.storing.failed(ctx, fmt.Errorf("append to buffer: %w", err)) {
			return ctx.Err()
		}
	}
	return nil
}

// encode turns records into items with memory of their own.
func (s *Sampler) encode(records []*telemetry.Record) []Item {
	items := make([]Item, len(records))
	now := time.Now()
	var scratch []byte
	for i, r := range records {
		scratch = record.Append(scratch[:0], r)
		it := Item{Unit: r.Unit, Data: slices.Clone(scratch), Rows: r.Len()}
		if n := r.Len(); n > 0 {
			it.First, it.Last = r.Times[0], r.Times[n-1]
		} else if r.End != nil {
			it.First, it.Last = r.End.Time, r.End.Time
		}
		if s.cfg.Guard != nil {
			it.Around, it.Raised = s.cfg.Guard.Watch(now, r)
		}
		items[i] = it
	}
	return items
}

// endAtOnce is how many runs EndRuns ends with one append.
const endAtOnce = 256

// EndRuns ends the runs of a source that is no longer configured: it puts their ends
// into the buffer, with reason, and takes them off the roster. Should the source come
// back, it goes on behind its cursor with new runs. It is for a source without a
// sampler.
func EndRuns(ctx context.Context, c Config, b Buffer, r Roster, reason string) error {
	s, err := New(c, nil, b, r)
	if err != nil {
		return err
	}
	onRoster := r.Runs(c.Name)
	if err := s.load(); err != nil {
		return fmt.Errorf("end runs of source %s: %w", c.Name, err)
	}
	if s.base.Cursor == nil {
		s.base.Runs = onRoster
	} else if s.skip > 0 {
		// Behind the mark more was stored: only the roster knows runs that were born there.
		s.base.Runs = union(s.base.Runs, onRoster)
	}
	s.group.restore(s.base.Runs)
	now := s.cfg.Clock().Wall
	for runs := range slices.Chunk(s.base.Runs, endAtOnce) {
		batch := source.Batch{Cursor: s.base.Cursor}
		for _, run := range runs {
			batch.AddDeath(run.Unit, now, reason)
		}
		if !s.store(ctx, &batch) {
			return fmt.Errorf("end runs of source %s: %w", c.Name, ctx.Err())
		}
	}
	return nil
}

// union returns the runs of a, and those of b whose unit has none in a, by unit.
func union(a, b []source.Run) []source.Run {
	out := slices.Clone(a)
	for _, r := range b {
		if !slices.ContainsFunc(a, func(o source.Run) bool { return o.Unit == r.Unit }) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b source.Run) int { return strings.Compare(a.Unit, b.Unit) })
	return out
}
