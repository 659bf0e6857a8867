package watch

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// maxLines is how many rows or metrics of one message the text form shows.
const maxLines = 4

// WriteJSON writes the event as one line.
func (e *Event) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(e) }

// WriteText writes the event for people: a line, and one for each row below it.
func (e *Event) WriteText(w io.Writer) error {
	var b strings.Builder
	b.WriteString(e.Time.Local().Format("15:04:05.000 "))
	if e.Type == "" {
		fmt.Fprintf(&b, "%-6s %s", "?", printable(e.Topic))
	} else {
		fmt.Fprintf(&b, "%-6s %s", e.Type, printable(e.place()))
	}
	if e.Retained {
		b.WriteString(" (retained)")
	}
	e.details(&b)
	if e.Error != "" {
		fmt.Fprintf(&b, " ERROR %s", printable(e.Error))
	}
	b.WriteByte('\n')
	if e.Record != nil {
		for i, r := range e.Record.Rows {
			if i == maxLines-1 && len(e.Record.Rows) > maxLines {
				fmt.Fprintf(&b, "             ... %d more\n", len(e.Record.Rows)-i)
				break
			}
			fmt.Fprintf(&b, "             %s", r.Time.Format("2006-01-02T15:04:05.000Z"))
			if r.Quality != "good" {
				fmt.Fprintf(&b, " [%s]", r.Quality)
			}
			fmt.Fprintf(&b, " %s\n", r.Values)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (e *Event) place() string {
	if e.Group == "" {
		return strings.TrimPrefix(e.Topic, "spBv1.0/STATE/")
	}
	if e.Unit == "" {
		return e.Group + "/" + e.Node
	}
	return e.Group + "/" + e.Node + "/" + e.Unit
}

// details writes what the message says.
func (e *Event) details(b *strings.Builder) {
	switch {
	case e.Birth != nil:
		fmt.Fprintf(b, " session %d, version %s, %d epochs", e.Birth.Session, printable(e.Birth.Version), len(e.Birth.Chain))
		for _, c := range e.Birth.Chain {
			if c.Held != "" {
				fmt.Fprintf(b, ", holds %s of %s", short(c.Held), c.Epoch)
			}
		}
	case e.UnitBirth != nil:
		fmt.Fprintf(b, " %s v%d, %d signals, born %s", e.UnitBirth.Profile, e.UnitBirth.Version,
			len(e.UnitBirth.Signals), e.UnitBirth.Born.Format("2006-01-02T15:04:05.000Z"))
		if e.UnitBirth.Backlog {
			b.WriteString(", ended: backlog")
		}
	case e.BdSeq != nil:
		fmt.Fprintf(b, " bdSeq %d", *e.BdSeq)
	case e.Record != nil:
		fmt.Fprintf(b, " %s:%d, %d rows", e.Record.Epoch, e.Record.Position, e.Record.RowCount)
		if e.Record.Historical {
			b.WriteString(", historical")
		}
		if e.Record.End != "" {
			fmt.Fprintf(b, ", the run ends: %s", printable(e.Record.End))
		}
	case e.Loss != nil:
		fmt.Fprintf(b, " LOSS of [%d,%d) of %s: %s, %d readings", e.Loss.From, e.Loss.To, e.Loss.Of,
			printable(e.Loss.Reason), e.Loss.Readings)
	case e.Heartbeat != nil:
		fmt.Fprintf(b, " %d rows buffered, oldest %gs, clock %s", e.Heartbeat.Rows, e.Heartbeat.OldestS, e.Heartbeat.Clock)
	case e.State != nil && e.State.Online:
		b.WriteString(" online")
	case e.State != nil:
		b.WriteString(" offline")
	case e.Rebirth:
		b.WriteString(" rebirth")
	case e.Ack != "":
		b.WriteString(" ack " + short(e.Ack))
	}
	for i, m := range e.Metrics {
		if i == 4*maxLines && len(e.Metrics) > i+1 {
			fmt.Fprintf(b, " ... %d more", len(e.Metrics)-i)
			break
		}
		name := printable(m.Name)
		if m.Name == "" && m.Alias != nil {
			name = "alias " + strconv.FormatUint(*m.Alias, 10)
		}
		fmt.Fprintf(b, " %s=%s", name, short(printable(m.Value)))
	}
}

// short cuts a long text.
func short(s string) string {
	const limit = 240
	if len(s) > limit {
		return s[:limit] + "..."
	}
	return s
}

// printable keeps what comes from outside from steering a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
