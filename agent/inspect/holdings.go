package inspect

import (
	"cmp"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

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

// Epoch is a stretch of positions: each start of an agent begins one, and it may begin more.
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
	State     string  `json:"state"` // active, sealed, full, unreadable
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

// unreadable is the state of a file that does not open now.
const unreadable = "unreadable"

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
	if errors.Is(f.Err, buffer.ErrUnreadable) {
		out.State = unreadable
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
	return ranges.Of(list[:maxHeld]...).String() + "..."
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
