// Package replay is the source that reads a file again as if it were happening: NASA
// C-MAPSS text, or CSV with a header. Each engine (or unit) of the file is a unit that
// is born with its first line and dies with its last; all run at once.
//
// It promises that every valid line becomes exactly one reading, also when the agent
// is killed on the way: it is rereadable, and its cursor counts the lines that are
// done. Lines are merged by time over all units; those of one unit come in the
// order of the file, and those of one time in the order in which their units first
// appear. A malformed line is counted, logged with its number (as a warning the first
// 20 of a file, as a debug message all others), and passed over. A file that has changed
// under a cursor is refused.
//
// A line's values become a reading at start + cycle x period (or at its own time,
// where a CSV has times). At a speed of 1 a reading is due when that much time has
// passed since the replay began; what became due while the agent was down is
// delivered at once.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"

	"andon.internal/agent/source"
	"andon.internal/shared/telemetry"
)

// Source is a replay of one file. See [source.Source] for how it is used.
type Source struct {
	cfg Config
	log *slog.Logger

	file    *os.File // nil while not open
	index   *index
	merge   merge
	at      position // behind the last event delivered
	pace    pace
	fresh   bool         // nothing was delivered ever: the start is not durable yet
	orphans []source.Run // on test as the agent says, but not in this replay
	stalled bool         // the line behind the last one delivered could not be read
	latest  int64        // time of the last line that is done; only Open sets it
}

// Open reads the file once, to check its lines and to learn where each unit's are.
func (s *Source) Open(ctx context.Context, from source.Resume) (err error) {
	if err := s.Close(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.file, err = os.Open(s.cfg.File); err != nil {
		return fmt.Errorf("open replay file: %w", err)
	}
	if s.index, err = s.readIndex(ctx); err != nil {
		return err
	}
	now := s.cfg.Now()
	s.at, s.fresh = s.begin(now), from.Cursor == nil
	if from.Cursor != nil {
		if s.at, err = s.resume(from.Cursor); err != nil {
			return err
		}
	}
	if !s.fits(s.at.Start, s.at.Loop) {
		return fmt.Errorf("%w: the last reading of %s would be after the year 2200: lower the period or the start",
			source.ErrRefused, s.cfg.File)
	}
	if err := s.skip(ctx); err != nil {
		return err
	}
	s.adopt(from.Runs)
	s.startPace(now)
	return nil
}

// skip begins the loop of s.at and passes over the lines that are done.
func (s *Source) skip(ctx context.Context) error {
	if err := s.merge.begin(s.file, s.index, s.at.Lines > 0); err != nil {
		return err
	}
	for n := range s.at.Lines {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		s.latest = s.time(s.merge.top().at)
		if err := s.merge.advance(); err != nil {
			return err
		}
	}
	return s.merge.wantValues()
}

// adopt compares the runs that are on test with those of the replay. A unit in the
// midst of its lines that is not on test is born again at its next line. A run that
// is neither in its midst nor about to begin is an orphan.
func (s *Source) adopt(runs []source.Run) {
	lanes := map[string]*lane{}
	for _, i := range s.merge.heap {
		l := &s.merge.lanes[i]
		lanes[l.engine.unit] = l
	}
	for _, r := range runs {
		switch l := lanes[r.Unit]; {
		case l != nil && l.begun():
			l.onTest = true
		case l != nil && r.Born == s.time(l.at):
			// An agent that died before its first append had announced it.
		default:
			s.orphans = append(s.orphans, r)
		}
	}
}

// Close closes the file.
func (s *Source) Close() error {
	f := s.file
	*s = Source{cfg: s.cfg, log: s.log}
	if f == nil {
		return nil
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("close replay file: %w", err)
	}
	return nil
}

// Read delivers what is due.
func (s *Source) Read(ctx context.Context, b *source.Batch) error {
	if s.file == nil {
		return errors.New("replay is not open")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(s.orphans) > 0 {
		s.endOrphans(b)
	} else {
		if err := s.ready(); err != nil {
			return err
		}
		if err := s.pace.wait(ctx, s.time(s.merge.top().at)); err != nil {
			return err
		}
		s.deliver(b)
	}
	b.Cursor = s.at.encode()
	return nil
}

// endOrphans ends some of the runs that this replay cannot continue.
func (s *Source) endOrphans(b *source.Batch) {
	n := min(len(s.orphans), maxOrphans)
	now := s.cfg.Now().UnixNano()
	for _, r := range s.orphans[:n] {
		b.AddDeath(r.Unit, now, "interrupted")
	}
	s.orphans = s.orphans[n:]
}

// ready sees to it that there is a line to deliver. It repeats what failed before,
// begins the next loop, or returns io.EOF.
func (s *Source) ready() error {
	if s.stalled {
		if err := s.merge.advance(); err != nil {
			return err
		}
		s.stalled = false
	}
	if !s.merge.empty() {
		return nil
	}
	if !s.cfg.Loop {
		return io.EOF
	}
	next := s.at.next()
	if !s.fits(next.Start, next.Loop) {
		s.log.Warn("replay ends: a further loop would go beyond the year 2200", "loops", next.Loop)
		return io.EOF
	}
	if err := s.merge.begin(s.file, s.index, false); err != nil {
		return err
	}
	s.at = next
	return nil
}

// deliver appends what is due now: at least the line at the top. Readings that are due at the
// same instant stay together up to twice as many as a batch has.
func (s *Source) deliver(b *source.Batch) {
	quality := telemetry.Quality(0).WithTime(telemetry.TimeSource)
	most := source.MaxBatch
	if s.fresh {
		most, s.fresh = 1, false
	}
	now, last := s.pace.now(), int64(math.MinInt64)
	n := 0
	for ; !s.merge.empty(); n++ {
		l := s.merge.top()
		t := s.time(l.at)
		late := s.pace.late(t, now)
		if n > 0 && late < 0 {
			break
		}
		if n >= most && (most == 1 || s.pace.speed == 0 || t != last || n >= 2*source.MaxBatch) {
			break
		}
		if !l.onTest {
			l.onTest = true
			b.AddBirth(l.engine.unit, s.cfg.Profile, t)
		}
		b.AddReading(l.engine.unit, t, quality, l.row.values).Late = max(late, 0)
		s.at.Lines++
		last = t
		if l.left == 1 {
			b.AddDeath(l.engine.unit, t, "finished")
		}
		if s.merge.advance() != nil {
			s.stalled = true // the next Read tries again, and tells
			n++
			break
		}
	}
	s.cfg.Metrics.lines.WithLabelValues(s.cfg.File).Add(float64(n))
}

// time returns the unix ns of a line that lies at this time in the file.
func (s *Source) time(at int64) int64 {
	return s.at.Start + (at - s.index.base) + s.at.Loop*s.index.span
}
