package store

import (
	"io"

	"andon.internal/shared/telemetry"
)

// CopyItem is what a record brings into a COPY.
type CopyItem struct {
	Record      *telemetry.Record
	Skip        []bool
	Unit, Epoch int32
	Position    uint64
	Received    int64
}

// NewCopyReader returns the COPY stream of records for a table of profile have.
func NewCopyReader(have *telemetry.Profile, items []CopyItem) io.Reader {
	r := &copyReader{}
	for _, it := range items {
		r.items = append(r.items, copyItem{
			rec: it.Record, layout: newLayout(have, it.Record.Profile), skip: it.Skip,
			unit: it.Unit, epoch: it.Epoch, position: it.Position, received: it.Received,
		})
	}
	return r
}

// CopySQL is the statement for that stream.
func CopySQL(have *telemetry.Profile) string { return newTable(0, have).copySQL }

// LatestSQL is the query behind Latest.
func LatestSQL(p *telemetry.Profile) string { return latestSQL(p) }
