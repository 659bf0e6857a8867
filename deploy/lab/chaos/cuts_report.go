package chaos

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Cuts counts the power cuts of a round that has no other faults.
type Cuts struct {
	Cell     int `json:"cell"`
	Offline  int `json:"offline"` // of these, with the cell's link down
	Writes   int `json:"writes"`  // of these, within 5 ms of a write of the buffer
	Database int `json:"database"`
	Safe     int `json:"safe"` // readings that the live cell declared safe in this round
}

// CutsTable writes a row for each file system and write setting of the rounds of power cuts.
func CutsTable(out io.Writer, rounds []Round) error {
	type setting struct{ fs, write string }
	type sum struct {
		Cuts
		readings, lost, doubled, unexplained int
		slowest                              time.Duration
	}
	var order []setting
	sums := map[setting]*sum{}
	all := setting{fs: "all"}
	add := func(key setting, r *Round) {
		s := sums[key]
		if s == nil {
			s = &sum{}
			sums[key], order = s, append(order, key)
		}
		s.Cell, s.Offline, s.Writes, s.Database, s.Safe = s.Cell+r.Cuts.Cell, s.Offline+r.Cuts.Offline, s.Writes+r.Cuts.Writes, s.Database+r.Cuts.Database, s.Safe+r.Cuts.Safe
		s.readings, s.lost, s.doubled, s.unexplained = s.readings+r.Readings, s.lost+r.Lost, s.doubled+r.Doubled, s.unexplained+r.Unexplained
		s.slowest = max(s.slowest, r.Recovery)
	}
	for i := range rounds {
		if r := &rounds[i]; r.Cuts != nil {
			add(setting{r.FS, r.Write}, r)
		}
	}
	for i := range rounds {
		if r := &rounds[i]; r.Cuts != nil {
			add(all, r)
		}
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "file system\twrite\tcuts of cells\tlink down\tin a write\tof the database\treadings\tdeclared safe\tlost\tdoubled\tunexplained\tslowest recovery")
	for _, key := range order {
		s := sums[key]
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f s\n", key.fs, key.write, s.Cell, s.Offline, s.Writes, s.Database,
			s.readings, s.Safe, s.lost, s.doubled, s.unexplained, s.slowest.Seconds())
	}
	return w.Flush()
}
