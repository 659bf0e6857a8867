package health

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteJSON writes a report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// WriteText writes a report for people: the verdict, a line for each check, and a
// table of the cells.
func (r *Report) WriteText(w io.Writer) error {
	fmt.Fprintf(w, "%s  %s, in %.1f s\n\n", strings.ToUpper(string(r.State)), clock(r.Checked), r.Seconds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range r.Checks {
		fmt.Fprintf(t, "%s\t%s\t%s\n", c.Name, c.State, oneLine(c.Reason))
	}
	if err := t.Flush(); err != nil || len(r.Cells) == 0 {
		return err
	}
	fmt.Fprintln(t, "\nCELL\tSTATE\tHEARD\tBUFFERED\tOLDEST\tOUTSTANDING\tNEWEST STORED")
	for _, c := range r.Cells {
		buffered, oldest, newest, heard := "-", "-", "-", "no"
		if c.Buffered != nil {
			buffered, oldest = fmt.Sprint(*c.Buffered), span(time.Duration(*c.Oldest*float64(time.Second)))
		}
		if !c.Newest.IsZero() {
			newest = clock(c.Newest)
		}
		if c.Heard {
			heard = "yes"
		}
		fmt.Fprintf(t, "%s/%s\t%s\t%s\t%s\t%s\t%d\t%s\n", c.Group, c.Node, c.State, heard, buffered, oldest, c.Outstanding, newest)
	}
	return t.Flush()
}

// oneLine keeps an error of several lines in its row.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
