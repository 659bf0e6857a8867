package chaos

import "andon.internal/lab/factory"

// What Options.Write may be.
const (
	writeBehind = "behind"
	writeAhead  = "ahead"
	writeBoth   = "both"
)

// buffer is how a cell keeps its readings.
func (o *Options) buffer(cell string) factory.Buffer {
	b := factory.Buffer{MaxDisk: "64MiB", Write: o.Write}
	if o.Write == writeBoth {
		b.Write = writeBehind
		if (cell == dynoCell) == (o.Seed%2 == 0) {
			b.Write = writeAhead
		}
	}
	if o.retains(cell) {
		b.Retain = retention // which writes ahead
	}
	return b
}
