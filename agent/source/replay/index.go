package replay

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"

	"andon.internal/agent/source"
	"andon.internal/shared/telemetry"
)

// Bounds of a file.
const (
	maxLine    = 64 << 10 // bytes of a line with its end
	maxEngines = 4096
	maxStretch = 1 << 30
	maxTime    = 7258118400e9 // the year 2200 in unix ns
)

// maxNamed is how many malformed lines of a file are warned of one by one. The others
// are logged as debug messages: a file of the wrong kind may have nothing else.
const maxNamed = 20

// stretch is consecutive lines of one engine, all valid.
type stretch struct {
	offset int64  // of the first line in the file
	length uint32 // bytes
	line   uint32 // number of the first line, from 1
}

// engine is where one unit's lines are.
type engine struct {
	unit      string
	stretches []stretch
	lines     int64
}

// index is what was learned of a file by reading it once: 16 bytes for each stretch,
// so 16 bytes a line at worst, and a few hundred in all for a file sorted by engine.
type index struct {
	format    format
	engines   []engine // in order of first appearance
	lines     int64    // valid ones
	malformed int64
	lowest    int64 // of all valid lines' times in the file, ns
	highest   int64
	base      int64 // the time in the file that stands for the start
	span      int64 // ns from one loop to the next
	size      int64
	hash      string // of the whole content
}

// indexer makes an index line by line.
type indexer struct {
	s      *Source
	x      *index
	byUnit map[string]int
	row    row
	last   int // engine of the line before, or -1
	offset int64
	number int64 // of the current line
}

// readIndex reads the whole file once.
func (s *Source) readIndex(ctx context.Context) (*index, error) {
	sum := sha256.New()
	in := bufio.NewReaderSize(io.TeeReader(s.file, sum), maxLine)
	b := indexer{
		s: s, byUnit: map[string]int{}, last: -1,
		x: &index{lowest: math.MaxInt64, highest: math.MinInt64},
	}
	if err := b.header(in); err != nil {
		return nil, err
	}
	for {
		if b.number%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		line, err := in.ReadSlice('\n')
		if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("read replay file: %w", err)
		}
		if len(line) == 0 {
			break
		}
		b.number++
		if errors.Is(err, bufio.ErrBufferFull) {
			if err := b.overlong(in, len(line)); err != nil {
				return nil, err
			}
			continue
		}
		if err := b.add(line); err != nil {
			return nil, err
		}
	}
	b.x.size, b.x.hash = b.offset, hex.EncodeToString(sum.Sum(nil)[:16])
	return b.finish()
}

// header reads the first line of a CSV and chooses the format.
func (b *indexer) header(in *bufio.Reader) error {
	c := &b.s.cfg
	b.row.values = make([]telemetry.Value, len(c.Profile.Signals))
	if c.Format == CMAPSS {
		b.x.format = newCMAPSS(c)
		return nil
	}
	line, err := in.ReadSlice('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("read header of %s: %w", c.File, err)
	}
	f, err := newCSV(c, line)
	if err != nil {
		return fmt.Errorf("%w: %s:1: %w", source.ErrRefused, c.File, err)
	}
	b.x.format, b.offset, b.number = f, int64(len(line)), 1
	return nil
}

// add takes one line into the index, or counts it as malformed.
func (b *indexer) add(line []byte) error {
	offset := b.offset
	b.offset += int64(len(line))
	if err := b.x.format.parse(line, &b.row, true); err != nil {
		b.malformed(err)
		return nil
	}
	at, ok := b.byUnit[string(b.row.unit)]
	if !ok {
		at = len(b.x.engines)
		unit := b.s.cfg.UnitPrefix + string(b.row.unit)
		if err := telemetry.CheckID("unit", unit); err != nil {
			b.malformed(err)
			return nil
		}
		if at == maxEngines {
			return fmt.Errorf("%w: %s has more than %d units: split it", source.ErrRefused, b.s.cfg.File, maxEngines)
		}
		b.byUnit[string(b.row.unit)] = at
		b.x.engines = append(b.x.engines, engine{unit: unit})
	}
	if b.number > math.MaxUint32 {
		return fmt.Errorf("%w: %s has more than %d lines: split it", source.ErrRefused, b.s.cfg.File, uint32(math.MaxUint32))
	}
	e := &b.x.engines[at]
	n := len(e.stretches)
	if at == b.last && int(e.stretches[n-1].length)+len(line) <= maxStretch {
		e.stretches[n-1].length += uint32(len(line))
	} else {
		e.stretches = append(e.stretches, stretch{offset, uint32(len(line)), uint32(b.number)})
	}
	b.last = at
	e.lines++
	b.x.lines++
	b.x.lowest, b.x.highest = min(b.x.lowest, b.row.at), max(b.x.highest, b.row.at)
	return nil
}

// overlong passes over the rest of a line that is longer than the reader's room.
func (b *indexer) overlong(in *bufio.Reader, had int) error {
	b.offset += int64(had)
	for {
		rest, err := in.ReadSlice('\n')
		b.offset += int64(len(rest))
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("read replay file: %w", err)
		}
		b.malformed(fmt.Errorf("the line is longer than %d bytes", maxLine))
		return nil
	}
}

// malformed counts the current line, and logs its number and what is wrong with it.
func (b *indexer) malformed(reason error) {
	b.last = -1
	b.x.malformed++
	level := slog.LevelWarn
	if b.x.malformed > maxNamed {
		level = slog.LevelDebug
	}
	if ctx := context.Background(); b.s.log.Enabled(ctx, level) {
		b.s.log.Log(ctx, level, "malformed line passed over",
			"line", fmt.Sprintf("%s:%d", b.s.cfg.File, b.number), "reason", reason.Error())
	}
}

func (b *indexer) finish() (*index, error) {
	x, c := b.x, &b.s.cfg
	c.Metrics.malformed.WithLabelValues(c.File).Set(float64(x.malformed))
	c.Metrics.valid.WithLabelValues(c.File).Set(float64(x.lines))
	if x.malformed > 0 {
		b.s.log.Warn("replay file has malformed lines; log level debug names all of them", "malformed", x.malformed, "valid", x.lines)
	}
	if x.lines == 0 {
		return nil, fmt.Errorf("%w: %s has no valid line of the format %s (%d malformed): check the file and the format",
			source.ErrRefused, c.File, c.Format, x.malformed)
	}
	if x.format.ownTimes() {
		x.base = x.lowest
	}
	x.span = x.highest - x.lowest + int64(c.Period)
	return x, nil
}
