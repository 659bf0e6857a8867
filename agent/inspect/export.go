package inspect

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/record"
	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// Filter says which readings are exported.
type Filter struct {
	Unit     string    // empty: of all units
	From, To time.Time // readings at From and later, before To; zero: no limit
}

func (f *Filter) unit(id string) bool { return f.Unit == "" || f.Unit == id }

// from and to are the bounds in unix ns.
func (f *Filter) bounds() (from, to int64) {
	from, to = math.MinInt64, math.MaxInt64
	if !f.From.IsZero() {
		from = f.From.UnixNano()
	}
	if !f.To.IsZero() {
		to = f.To.UnixNano()
	}
	return from, to
}

// Tally is what came out of an export, or of a look through all records.
type Tally struct {
	Records  uint64 `json:"records"`
	Readings uint64 `json:"readings"`
	Losses   uint64 `json:"losses"` // records that tell a loss
	Bytes    uint64 `json:"bytes"`
	Unknown  uint64 `json:"unreadable"` // records that are sound, but of a profile that is not known, or of another form
	Why      string `json:"why,omitempty"`
}

// Exporter writes the readings of records, each once. It keeps one record in memory at a
// time, and the ranges of positions it has seen.
type Exporter struct {
	Tally
	filter   Filter
	profiles map[uint64]*telemetry.Profile
	seen     map[buffer.Epoch]*ranges.Set
	out      rowWriter
}

// rowWriter writes readings in one format.
type rowWriter interface {
	row(s *buffer.Stored, r *telemetry.Record, i int) error
	flush() error
}

// Formats are the names of the formats.
var Formats = []string{"csv", "json"}

// NewExporter returns an exporter to w. In CSV the columns are the signals of columns, the
// profiles that occur, in their order: see [Occurring]; a record of another one is not written, and
// counted as unreadable.
func NewExporter(format string, w io.Writer, f Filter, profiles map[uint64]*telemetry.Profile, columns []*telemetry.Profile) (*Exporter, error) {
	e := &Exporter{filter: f, profiles: profiles, seen: map[buffer.Epoch]*ranges.Set{}}
	switch format {
	case "csv":
		e.out = newCSV(w, columns)
	case "json":
		b := bufio.NewWriterSize(w, 64<<10)
		e.out = &jsonWriter{buffered: b, encoder: json.NewEncoder(b)}
	default:
		return nil, fmt.Errorf("format %q is none of %v", format, Formats)
	}
	return e, nil
}

// Add writes the readings of a record that the filter wants. A record that was there
// before, which may lie in two files, is passed over.
func (e *Exporter) Add(s *buffer.Stored) error {
	set := e.seen[s.Epoch]
	if set == nil {
		set = &ranges.Set{}
		e.seen[s.Epoch] = set
	}
	if set.Add(s.Position, s.Position+1) == 0 {
		return nil
	}
	from, to := e.filter.bounds()
	if s.Class == buffer.Loss || s.Rows == 0 || !e.filter.unit(s.Label) || s.Last < from || s.First >= to {
		return nil
	}
	r, err := record.Decode(s.Data, func(fp uint64) *telemetry.Profile { return e.profiles[fp] })
	if err != nil {
		e.Unknown++
		e.Why = err.Error()
		return nil
	}
	wrote := false
	for i, t := range r.Times {
		if t < from || t >= to {
			continue
		}
		if err := e.out.row(s, r, i); err == errNoColumns {
			e.Unknown++
			e.Why = err.Error()
			return nil
		} else if err != nil {
			return err
		}
		wrote = true
		e.Readings++
	}
	if wrote {
		e.Records++
		e.Bytes += uint64(len(s.Data))
	}
	return nil
}

// Close writes what is still to be written.
func (e *Exporter) Close() error { return e.out.flush() }

// Occurring collects the profiles of records that a filter wants.
type Occurring struct {
	Filter   Filter
	Profiles map[uint64]*telemetry.Profile // all that are known
	found    []*telemetry.Profile
}

// Add looks at a record.
func (o *Occurring) Add(s *buffer.Stored) {
	from, to := o.Filter.bounds()
	if s.Class == buffer.Loss || !o.Filter.unit(s.Label) || s.Last < from || s.First >= to {
		return
	}
	if fp, err := record.Fingerprint(s.Data); err == nil {
		if p := o.Profiles[fp]; p != nil && !slices.Contains(o.found, p) {
			o.found = append(o.found, p)
		}
	}
}

// Found returns them in the order in which they were met.
func (o *Occurring) Found() []*telemetry.Profile { return o.found }

var errNoColumns = fmt.Errorf("its profile came while the export was under way; export again")

type csvWriter struct {
	w       *csv.Writer
	column  map[string]int // by signal
	known   map[*telemetry.Profile]bool
	header  []string
	started bool
	line    []string
}

// nameColumns stand before the signals.
var nameColumns = []string{"epoch", "position", "row", "unit", "born", "time", "quality"}

func newCSV(w io.Writer, columns []*telemetry.Profile) *csvWriter {
	c := &csvWriter{w: csv.NewWriter(w), column: map[string]int{}, known: map[*telemetry.Profile]bool{}, header: slices.Clone(nameColumns)}
	for _, p := range columns {
		c.known[p] = true
		for i := range p.Signals {
			name := p.Signals[i].Name
			if _, ok := c.column[name]; !ok {
				c.column[name] = len(c.header)
				c.header = append(c.header, name)
			}
		}
	}
	c.line = make([]string, len(c.header))
	return c
}

func (c *csvWriter) row(s *buffer.Stored, r *telemetry.Record, i int) error {
	if !c.known[r.Profile] {
		return errNoColumns
	}
	if err := c.head(); err != nil {
		return err
	}
	clear(c.line)
	copy(c.line, []string{
		telemetry.Epoch(s.Epoch).String(), strconv.FormatUint(s.Position, 10), strconv.Itoa(i), r.Unit,
		timeText(r.Born), timeText(r.Times[i]), r.Qualities[i].String(),
	})
	for j, v := range r.Row(i) {
		if !v.Missing() {
			c.line[c.column[r.Profile.Signals[j].Name]] = v.String()
		}
	}
	return c.w.Write(c.line)
}

func (c *csvWriter) head() error {
	if c.started {
		return nil
	}
	c.started = true
	return c.w.Write(c.header)
}

func (c *csvWriter) flush() error {
	if err := c.head(); err != nil {
		return err
	}
	c.w.Flush()
	return c.w.Error()
}

type jsonWriter struct {
	buffered *bufio.Writer
	encoder  *json.Encoder
}

// jsonRow is one line.
type jsonRow struct {
	Epoch    string         `json:"epoch"`
	Position uint64         `json:"position"`
	Row      int            `json:"row"`
	OnDisk   bool           `json:"on_disk"` // a power cut does not take it
	Unit     string         `json:"unit"`
	Born     string         `json:"born"`
	Time     string         `json:"time"`
	Quality  string         `json:"quality"`
	Profile  string         `json:"profile"`
	Values   map[string]any `json:"values"` // null: missing; NaN and infinities as text
}

func (j *jsonWriter) row(s *buffer.Stored, r *telemetry.Record, i int) error {
	values := make(map[string]any, len(r.Profile.Signals))
	for n, v := range r.Row(i) {
		values[r.Profile.Signals[n].Name] = jsonValue(v)
	}
	return j.encoder.Encode(jsonRow{
		Epoch: telemetry.Epoch(s.Epoch).String(), Position: s.Position, Row: i, OnDisk: s.OnDisk, Unit: r.Unit, Born: timeText(r.Born),
		Time: timeText(r.Times[i]), Quality: r.Qualities[i].String(), Profile: r.Profile.Name, Values: values,
	})
}

func (j *jsonWriter) flush() error { return j.buffered.Flush() }

// jsonValue keeps every digit: numbers are written as this project writes them.
func jsonValue(v telemetry.Value) any {
	f, ok := v.Float()
	switch {
	case !ok:
		return nil
	case v.Type() == telemetry.Boolean:
		return v.Bool()
	case math.IsNaN(f) || math.IsInf(f, 0):
		return v.String()
	}
	return json.Number(v.String())
}

func timeText(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
