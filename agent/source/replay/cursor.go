package replay

import (
	"encoding/json"
	"fmt"
	"time"

	"andon.internal/agent/source"
)

// cursorVersion is the version of the cursor's form.
const cursorVersion = 1

// position is where a replay stands, and all that its times and order hang on. Its
// JSON is the cursor.
type position struct {
	Version int    `json:"version"`
	Size    int64  `json:"size"` // of the file, in bytes
	Hash    string `json:"sha256"`
	Format  string `json:"format"`
	Profile string `json:"profile"` // fingerprint
	Prefix  string `json:"unit_prefix"`
	Period  int64  `json:"period_ns"`

	Start int64   `json:"start_ns"` // unix ns of cycle 0, or of the first time in the file
	Wall  int64   `json:"wall_ns"`  // unix ns at which a reading of the start is due
	Speed float64 `json:"speed"`    // that Wall is for
	Loop  int64   `json:"loop"`     // complete passes over the file
	Lines int64   `json:"lines"`    // valid lines done in this pass, in merged order
}

// begin returns the position of a replay that begins now.
func (s *Source) begin(now time.Time) position {
	c := &s.cfg
	p := position{
		Version: cursorVersion,
		Size:    s.index.size, Hash: s.index.hash,
		Format: c.Format, Profile: fmt.Sprintf("%016x", c.Profile.Fingerprint()),
		Prefix: c.UnitPrefix, Period: int64(c.Period),
		// A whole millisecond travels without its fraction.
		Start: now.Truncate(time.Millisecond).UnixNano(),
		Wall:  now.UnixNano(),
		Speed: c.Speed,
	}
	switch {
	case !c.Start.IsZero():
		p.Start = c.Start.UnixNano()
	case s.index.format.ownTimes():
		p.Start = s.index.base
	}
	return p
}

// resume reads a cursor and refuses one that the file or the configuration does not
// fit any more.
func (s *Source) resume(cursor []byte) (position, error) {
	var p position
	refuse := func(format string, args ...any) (position, error) {
		return p, fmt.Errorf("%w: replay of %s: %s", source.ErrRefused, s.cfg.File, fmt.Sprintf(format, args...))
	}
	if err := json.Unmarshal(cursor, &p); err != nil {
		return refuse("the stored cursor does not read back (%v); give the source a new name to begin again", err)
	}
	if p.Version != cursorVersion {
		return refuse("the stored cursor has version %d and this program reads version %d; use the program that wrote it",
			p.Version, cursorVersion)
	}
	const cure = "; put it back, or give the source a new name to begin again"
	fresh := s.begin(time.Unix(0, p.Wall))
	switch {
	case p.Size != fresh.Size || p.Hash != fresh.Hash:
		return refuse("the file has changed since this replay began: it had %d bytes (sha256 %s...), now %d (%s...)"+cure,
			p.Size, clip(p.Hash), fresh.Size, clip(fresh.Hash))
	case p.Format != fresh.Format:
		return refuse("format was %s, now %s"+cure, p.Format, fresh.Format)
	case p.Profile != fresh.Profile:
		return refuse("the profile's signals were those of fingerprint %s, now %s"+cure, p.Profile, fresh.Profile)
	case p.Prefix != fresh.Prefix:
		return refuse("unit_prefix was %q, now %q"+cure, p.Prefix, fresh.Prefix)
	case p.Period != fresh.Period:
		return refuse("period was %v, now %v"+cure, time.Duration(p.Period), time.Duration(fresh.Period))
	case !s.cfg.Start.IsZero() && p.Start != fresh.Start:
		return refuse("start was %s, now %s"+cure, stamp(p.Start), stamp(fresh.Start))
	case p.Lines < 0 || p.Lines > s.index.lines || p.Loop < 0 || !s.fits(p.Start, p.Loop):
		return refuse("the stored cursor is out of bounds; give the source a new name to begin again")
	}
	return p, nil
}

// fits reports whether a pass of this start lies between 1970 and 2200.
func (s *Source) fits(start, loop int64) bool {
	x := s.index
	return start >= 0 && start <= maxTime-(x.highest-x.base) && loop <= (maxTime-(x.highest-x.base)-start)/x.span
}

// next returns the beginning of the next pass over the file.
func (p position) next() position {
	p.Loop++
	p.Lines = 0
	return p
}

func (p *position) encode() []byte {
	b, err := json.Marshal(p)
	if err != nil {
		panic("replay: a cursor of plain numbers does not encode: " + err.Error())
	}
	return b
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

func clip(s string) string { return s[:min(len(s), 8)] }
