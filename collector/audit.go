package collector

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"andon.internal/collector/store"
)

// auditJSON is the form of an audit for programs. Sets of positions are text, such as
// "[0,140)[150,160)"; times are RFC 3339, or null.
type auditJSON struct {
	Runs   []runJSON   `json:"runs"`
	Epochs []epochJSON `json:"epochs"`
}

type runJSON struct {
	Group    string     `json:"group"`
	Unit     string     `json:"unit"`
	Node     string     `json:"node"`
	Profile  string     `json:"profile"`
	Born     time.Time  `json:"born"`
	Died     *time.Time `json:"died"`
	Reason   string     `json:"reason,omitempty"`
	Newest   *time.Time `json:"newest"`
	Expected int64      `json:"expected"`
	Stored   int64      `json:"stored"`
	Missing  int64      `json:"missing"`
	Late     int64      `json:"late"`
}

type epochJSON struct {
	Group       string `json:"group"`
	Node        string `json:"node"`
	Epoch       string `json:"epoch"`
	Ended       string `json:"ended"`
	Closed      bool   `json:"closed"`
	Expected    uint64 `json:"expected"`
	Committed   uint64 `json:"committed"`
	Lost        uint64 `json:"lost"`
	Quarantined uint64 `json:"quarantined"`
	Repeats     uint64 `json:"repeats"`
	Losses      string `json:"losses"`
	Holes       string `json:"holes"`
}

// WriteAuditJSON writes an audit as one JSON object.
func WriteAuditJSON(w io.Writer, a store.Audit) error {
	out := auditJSON{Runs: []runJSON{}, Epochs: []epochJSON{}}
	for _, r := range a.Runs {
		out.Runs = append(out.Runs, runJSON{
			r.Group, r.Unit, r.Node, r.Profile, r.Born, known(r.Died), r.Reason, known(r.Newest),
			r.Expected, r.Stored, r.Missing(), r.Late,
		})
	}
	for _, e := range a.Epochs {
		out.Epochs = append(out.Epochs, epochJSON{
			e.Group, e.Node, e.Epoch.String(), e.Ended, e.Closed, e.Expected, e.Committed, e.Lost,
			e.Quarantined, e.Repeats, e.Losses.String(), e.Holes.String(),
		})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

// WriteAudit writes an audit as two tables, for people.
func WriteAudit(w io.Writer, a store.Audit) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RUN\tPROFILE\tBORN\tENDED\tEXPECTED\tSTORED\tMISSING\tLATE")
	for _, r := range a.Runs {
		ended := "active"
		if !r.Died.IsZero() {
			ended = strings.TrimSpace(clock(r.Died) + " " + r.Reason)
		}
		fmt.Fprintf(t, "%s/%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\n", r.Group, r.Unit, r.Profile, clock(r.Born), ended,
			r.Expected, r.Stored, r.Missing(), r.Late)
	}
	if err := t.Flush(); err != nil { // which also ends the columns
		return err
	}
	fmt.Fprintln(t)
	fmt.Fprintln(t, "EPOCH\tNODE\tENDED\tEXPECTED\tCOMMITTED\tLOST\tQUARANTINED\tREPEATED\tHOLES")
	for _, e := range a.Epochs {
		ended := e.Ended
		if e.Closed {
			ended += ", settled"
		}
		lost := fmt.Sprint(e.Lost)
		if !e.Losses.Empty() {
			lost += " " + short(e.Losses.String())
		}
		fmt.Fprintf(t, "%s\t%s/%s\t%s\t%d\t%d\t%s\t%d\t%d\t%s\n", e.Epoch, e.Group, e.Node, ended,
			e.Expected, e.Committed, lost, e.Quarantined, e.Repeats, orDash(short(e.Holes.String())))
	}
	return t.Flush()
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// short cuts a long text of a table.
func short(s string) string {
	const limit = 80
	if len(s) > limit {
		return s[:limit] + "..."
	}
	return s
}
