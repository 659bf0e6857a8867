// Package cmapss reads and makes files in the form of NASA's C-MAPSS turbofan
// data: one line an engine at a cycle, 26 numbers separated by spaces.
//
// It stands beside the flow, not in it: the lab compares what PostgreSQL holds
// with what this package reads from the same file, so it shares no code with the
// agent's replay driver and is the stricter of the two. Reading and generating are
// pure but for the reader and writer they are given.
package cmapss

// Fields is how many numbers a line has: engine, cycle, 3 settings, 21 sensors.
const Fields = 26

// Values is how many of them are signals.
const Values = Fields - 2

// Columns are the signals in the order of the file, under the names they have in
// the profile turbofan and so in PostgreSQL.
var Columns = [Values]string{
	"setting1", "setting2", "setting3",
	"t2", "t24", "t30", "t50", "p2", "p15", "p30", "nf", "nc", "epr", "ps30", "phi",
	"nrf", "nrc", "bpr", "farb", "htbleed", "nf_dmd", "pcnfr_dmd", "w31", "w32",
}

// Line is one valid line.
type Line struct {
	Number int // of the line in the file, from 1
	Engine int
	Cycle  int
	Values [Values]float64
}
