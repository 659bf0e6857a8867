// Package inspect says what an agent and its buffer hold, for people and for programs: the
// documents that go over the local socket and come out of --json, their readable form, and
// readings as CSV or JSON lines.
//
// It stands at the end of andon-agent status and buffer. It does no I/O but for the
// writers it is given.
package inspect

import (
	"time"

	"andon.internal/agent/buffer"
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
	NoSpace          bool    `json:"no_space"`
	LostRecords      uint64  `json:"lost_records"` // since the start
	LostRows         uint64  `json:"lost_rows"`
	InPlace          int     `json:"damaged_files_in_place"` // that could not be salvaged or set aside
	Unreadable       uint64  `json:"unreadable_records"`     // held, and cannot be read now
	Sealed           int     `json:"sealed_files"`           // not written any more, after an error
	WriteError       string  `json:"write_error,omitempty"`
}

// FillOf returns a buffer's figures.
func FillOf(s buffer.Stats) Fill {
	f := Fill{
		Records: s.Records, Rows: s.Rows, Bytes: s.Bytes, OldestAgeSeconds: s.OldestAge.Seconds(), Unwritten: s.Unwritten,
		DiskBytes: s.DiskBytes, DiskLimit: s.DiskLimit, Files: s.Files, Full: s.Full, NoSpace: s.NoSpace, LostRecords: s.LostRecords, LostRows: s.LostRows,
		InPlace: s.InPlace, Unreadable: s.UnreadableRecords, Sealed: s.Sealed,
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
