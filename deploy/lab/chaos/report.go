package chaos

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"
	"time"
)

// Load reads the rounds of a file, none where there is no file.
func Load(path string) ([]Round, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []Round
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var r Round
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, n, err)
		}
		out = append(out, r)
	}
	return out, lines.Err()
}

// Save appends a round to a file.
func Save(path string, r *Round) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	return errors.Join(err, f.Close())
}

// Next is the round with which a seed goes on.
func Next(rounds []Round, seed uint64) int {
	next := 1
	for i := range rounds {
		if rounds[i].Seed == seed {
			next = max(next, rounds[i].Round+1)
		}
	}
	return next
}

// Table writes a row a fault. A round counts for each of its faults.
func Table(out io.Writer, rounds []Round) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "fault\trounds\treadings\tlost\tdoubled\tunexplained\tslowest recovery")
	row := func(name string, with func(*Round) bool) {
		var n, readings, lost, doubled, unexplained int
		var slowest time.Duration
		for i := range rounds {
			if r := &rounds[i]; with(r) {
				n, readings, lost, doubled, unexplained = n+1, readings+r.Readings, lost+r.Lost, doubled+r.Doubled, unexplained+r.Unexplained
				slowest = max(slowest, r.Recovery)
			}
		}
		if n > 0 {
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%.1f s\n", name, n, readings, lost, doubled, unexplained, slowest.Seconds())
		}
	}
	for _, f := range Faults {
		row(f.Name, func(r *Round) bool {
			for _, name := range r.Faults {
				if name == f.Name {
					return true
				}
			}
			return false
		})
	}
	row("all", func(*Round) bool { return true })
	return w.Flush()
}
