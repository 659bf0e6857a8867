// Package inspect says what an agent and its buffer hold, for people and for programs: the
// documents that go over the local socket and come out of --json, their readable form, and
// readings as CSV or JSON lines.
//
// It stands at the end of andon-agent status and buffer. It does no I/O but for the
// writers it is given.
package inspect

import (
	"cmp"
	"encoding/hex"
	"slices"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

// Status is an agent that runs.
type Status struct {
	Version       string       `json:"version"`
	Group         string       `json:"group"`
	Node          string       `json:"node"`
	Epoch         string       `json:"epoch"`
	Boot          string       `json:"boot"` // the machine's boot id; empty where it has none
	PID           int          `json:"pid"`
	UptimeSeconds float64      `json:"uptime_seconds"`
	Data          string       `json:"data"`
	Link          Link         `json:"link"`
	Buffer        Fill         `json:"buffer"`
	Sources       []Source     `json:"sources"`
	Certificate   *Certificate `json:"certificate,omitempty"` // without TLS there is none
	Clock         Clock        `json:"clock"`
	Card          Card         `json:"card"`
	Troubles      []string     `json:"troubles"` // what to look at; empty when all is well
}

// Link is the connection to the broker, and through it to the collector.
type Link struct {
	Broker           string    `json:"broker"`
	Connected        bool      `json:"connected"`
	Waiting          bool      `json:"waiting"` // connected, and waiting for the primary host
	Session          uint64    `json:"session"`
	Since            time.Time `json:"since,omitzero"`
	Error            string    `json:"error,omitempty"` // why there is no connection
	LastHeard        time.Time `json:"last_heard,omitzero"`
	Synced           bool      `json:"synced"`
	Hold             bool      `json:"hold"` // nothing is acknowledged
	HoldSince        time.Time `json:"hold_since,omitzero"`
	HoldWhy          string    `json:"hold_why,omitempty"`
	CreditRecords    int64     `json:"credit_records"`
	CreditBytes      int64     `json:"credit_bytes"`
	InFlightRecords  int64     `json:"in_flight_records"`
	InFlightBytes    int64     `json:"in_flight_bytes"`
	RoundTripSeconds float64   `json:"round_trip_seconds"`
	Units            int       `json:"units"`
	Parked           []Parked  `json:"parked"`
}

// Parked is a record that keeps failing.
type Parked struct {
	Epoch    string    `json:"epoch"`
	Position uint64    `json:"position"`
	Unit     string    `json:"unit"`
	Reason   string    `json:"reason"`
	Times    int       `json:"times"`
	Next     time.Time `json:"next"`
}

// Fill is how full the buffer is.
type Fill struct {
	Records          uint64  `json:"records"`
	Rows             uint64  `json:"rows"`
	Bytes            uint64  `json:"bytes"`
	OldestAgeSeconds float64 `json:"oldest_age_seconds"`
	Unwritten        int     `json:"unwritten_records"`
	DiskBytes        int64   `json:"disk_bytes"`
	DiskLimit        int64   `json:"disk_limit_bytes"`
	Files            int     `json:"files"`
	Full             bool    `json:"full"`
	LostRecords      uint64  `json:"lost_records"` // since the start
	LostRows         uint64  `json:"lost_rows"`
	WriteError       string  `json:"write_error,omitempty"`
}

// FillOf returns a buffer's figures.
func FillOf(s buffer.Stats) Fill {
	f := Fill{
		Records: s.Records, Rows: s.Rows, Bytes: s.Bytes, OldestAgeSeconds: s.OldestAge.Seconds(), Unwritten: s.Unwritten,
		DiskBytes: s.DiskBytes, DiskLimit: s.DiskLimit, Files: s.Files, Full: s.Full, LostRecords: s.LostRecords, LostRows: s.LostRows,
	}
	if s.WriteError != nil {
		f.WriteError = s.WriteError.Error()
	}
	return f
}

// Source is one place that readings come from.
type Source struct {
	Name      string    `json:"name"`
	Driver    string    `json:"driver"`
	State     string    `json:"state"`              // reading, ended, opening
	Error     string    `json:"error,omitempty"`    // what keeps readings from flowing
	Since     time.Time `json:"since,omitzero"`     // of the error
	Readings  uint64    `json:"readings"`           // since the start
	Malformed uint64    `json:"malformed"`          // lines of its file that are none, as last opened
	Refused   uint64    `json:"refused"`            // events that broke the rules of a source
	Latest    time.Time `json:"latest,omitzero"`    // when the last reading came
	Quiet     float64   `json:"latest_age_seconds"` // since then; 0 before the first
}

// Certificate is the cell's own.
type Certificate struct {
	Expires time.Time `json:"expires"`
	Renewed time.Time `json:"renewed,omitzero"` // when it is; zero where nobody renews it
	Error   string    `json:"error,omitempty"`
}

// Clock is the machine's wall clock.
type Clock struct {
	State string    `json:"state"` // set, or never set
	Time  time.Time `json:"time"`
}

// Card is what was written to the disk by all agents that had the data folder, and how
// long a card will bear that.
type Card struct {
	RunningSeconds float64 `json:"running_seconds"` // in which that was written
	ReadingBytes   int64   `json:"reading_bytes"`   // of the readings that were taken
	StoredBytes    int64   `json:"stored_bytes"`    // of those that were written, as stored
	DeviceBytes    int64   `json:"device_bytes"`    // of all pages that were written, about
	StartBytes     int64   `json:"device_bytes_since_start"`
	Endurance      int64   `json:"endurance_bytes"`
	LifeSeconds    float64 `json:"life_seconds"` // that are left, with the agent running; 0 where that is not known yet
}

// minRunning is how long an agent has run before a rate of writing says something.
const minRunning = 600

// Project fills in how much life is left.
func (c *Card) Project() {
	c.LifeSeconds = 0
	if c.RunningSeconds >= minRunning && c.DeviceBytes > 0 && c.Endurance > 0 {
		rate := float64(c.DeviceBytes) / c.RunningSeconds
		c.LifeSeconds = max(1, float64(c.Endurance-c.DeviceBytes)/rate)
	}
}

// Holdings are what a buffer holds.
type Holdings struct {
	Live          bool     `json:"live"` // an agent has it open
	Data          string   `json:"data"`
	Epochs        []Epoch  `json:"epochs"`
	Files         []File   `json:"files"`
	Losses        []Loss   `json:"losses"`
	LossesPartial bool     `json:"losses_partial,omitempty"` // there was no time to look through all records
	Cursors       []Cursor `json:"cursors"`
	SetAside      []File   `json:"set_aside"`
	Faults        []string `json:"faults"`
	Card          *Card    `json:"card,omitempty"` // absent where it cannot be read
}

// Epoch is one start of an agent.
type Epoch struct {
	ID       string    `json:"id"`
	Began    time.Time `json:"began,omitzero"`
	Boot     string    `json:"boot,omitempty"`
	Prev     string    `json:"prev,omitempty"`
	Ended    string    `json:"ended"` // current, closed, unclean
	Next     uint64    `json:"next"`
	Held     uint64    `json:"held_records"`
	HeldAt   string    `json:"held"` // the positions, at most so many ranges
	Retained uint64    `json:"retained_records"`
}

// File is one record file.
type File struct {
	Name      string  `json:"name"`
	Bytes     int64   `json:"bytes"`
	State     string  `json:"state"` // active, sealed, full
	Records   uint64  `json:"records"`
	Readings  uint64  `json:"readings"`
	LiveShare float64 `json:"live_share"` // of the records that are held
	Error     string  `json:"error,omitempty"`
}

// Loss is readings that will not come, as the buffer tells the plant.
type Loss struct {
	Epoch    string   `json:"epoch"`
	From     uint64   `json:"from"`
	To       uint64   `json:"to"` // behind the last
	Reason   string   `json:"reason"`
	Units    []string `json:"units"`
	Readings uint64   `json:"readings"` // where known
}

// Cursor is how far a source that can be read again has been read.
type Cursor struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
	Lost  string `json:"lost_with,omitempty"`
}

// Damage is a thing that does not read back.
type Damage struct {
	File     string `json:"file"`
	Offset   int64  `json:"offset,omitempty"` // in the file
	Epoch    string `json:"epoch,omitempty"`
	Position uint64 `json:"position"`
	Error    string `json:"error"`
}

// DamageOf says what was found.
func DamageOf(f buffer.Found) Damage {
	d := Damage{File: f.File, Offset: f.Offset, Position: f.Position, Error: f.Err.Error()}
	if e := telemetry.Epoch(f.Epoch); !e.IsZero() {
		d.Epoch = e.String()
	}
	return d
}

// maxHeld is how many ranges of positions are told of an epoch.
const maxHeld = 8

// HoldingsOf puts an inventory into words.
func HoldingsOf(data string, live bool, inv buffer.Inventory) Holdings {
	h := Holdings{
		Live: live, Data: data, Epochs: []Epoch{}, Files: []File{}, Losses: []Loss{},
		Cursors: []Cursor{}, SetAside: []File{}, Faults: append([]string{}, inv.Faults...),
	}
	for _, e := range inv.Epochs {
		out := Epoch{
			ID: telemetry.Epoch(e.Epoch).String(), Began: e.Began, Boot: idText(e.Boot), Ended: endText(e.Ended), Next: e.Next,
			Held: e.Held.Len(), HeldAt: clipRanges(e.Held), Retained: e.Retained.Len(),
		}
		if p := telemetry.Epoch(e.Prev); !p.IsZero() {
			out.Prev = p.String()
		}
		h.Epochs = append(h.Epochs, out)
	}
	for i := range inv.Files {
		h.Files = append(h.Files, fileOf(&inv.Files[i]))
	}
	for i := range inv.SetAside {
		h.SetAside = append(h.SetAside, fileOf(&inv.SetAside[i]))
	}
	for _, c := range inv.Cursors {
		h.Cursors = append(h.Cursors, Cursor{c.Name, c.Bytes, c.Lost})
	}
	slices.SortFunc(h.Cursors, func(a, b Cursor) int { return cmp.Compare(a.Name, b.Name) })
	return h
}

func fileOf(f *buffer.FileInfo) File {
	out := File{Name: f.Name, Bytes: f.Size, State: "full", Records: f.Records, Readings: f.Rows}
	switch {
	case f.Sealed:
		out.State = "sealed"
	case f.Active:
		out.State = "active"
	}
	if f.Records > 0 {
		out.LiveShare = float64(f.Live) / float64(f.Records)
	}
	if f.Err != nil {
		out.Error = f.Err.Error()
	}
	return out
}

// LossOf returns the loss that a record tells; false where it is none.
func LossOf(s *buffer.Stored) (Loss, bool) {
	if s.Class != buffer.Loss {
		return Loss{}, false
	}
	l, err := buffer.DecodeLoss(s.Data)
	if err != nil {
		return Loss{}, false
	}
	return Loss{telemetry.Epoch(l.Epoch).String(), l.From, l.To, l.Reason, append([]string{}, l.Labels...), l.Rows}, true
}

func clipRanges(s ranges.Set) string {
	list := s.Ranges()
	if len(list) <= maxHeld {
		return s.String()
	}
	return ranges.Of(list[:maxHeld]...).String() + ",..."
}

func endText(e buffer.EndKind) string {
	switch e {
	case buffer.EndOpen:
		return "current"
	case buffer.EndClosed:
		return "closed"
	}
	return "unclean"
}

// idText writes an id of 16 bytes in hexadecimal; empty where it is zero.
func idText(id [16]byte) string {
	if id == ([16]byte{}) {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// BootText writes a boot id.
func BootText(id [16]byte) string { return idText(id) }
