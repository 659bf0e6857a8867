package inspect

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// table is lines of columns that are aligned when it is flushed.
type table struct{ *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)} }

func (t table) line(cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(t, "\t")
		}
		fmt.Fprint(t, c)
	}
	fmt.Fprintln(t)
}

// Text writes the status for people. now dates what the status says.
func (s *Status) Text(w io.Writer, now time.Time) error {
	t := newTable(w)
	t.line("agent", fmt.Sprintf("%s/%s, running for %s, version %s, pid %d", s.Group, s.Node, span(s.UptimeSeconds), s.Version, s.PID))
	t.line("epoch", s.Epoch+orNone(", boot ", s.Boot))
	t.line("data", s.Data)
	t.line("link", s.Link.text(now))
	if s.Link.Connected || s.Link.Waiting {
		t.line("", fmt.Sprintf("session %d, %d units, in flight %d records (%s) of %d (%s), round trip %s", s.Link.Session, s.Link.Units,
			s.Link.InFlightRecords, bytesText(s.Link.InFlightBytes), s.Link.CreditRecords, bytesText(s.Link.CreditBytes), span(s.Link.RoundTripSeconds)))
	}
	for _, p := range s.Link.Parked {
		t.line("parked", fmt.Sprintf("position %d of %s, unit %s, %d times: %s", p.Position, p.Epoch, p.Unit, p.Times, p.Reason))
	}
	b := &s.Buffer
	t.line("buffer", fmt.Sprintf("%d readings in %d records (%s), the oldest %s old, %d not on disk yet", b.Rows, b.Records,
		bytesText(int64(b.Bytes)), span(b.OldestAgeSeconds), b.Unwritten))
	t.line("", fmt.Sprintf("%s of %s in %d files; lost since the start: %d readings in %d records", bytesText(b.DiskBytes), bytesText(b.DiskLimit), b.Files, b.LostRows, b.LostRecords))
	for i := range s.Sources {
		t.line("source "+s.Sources[i].Name, s.Sources[i].text())
	}
	if c := s.Certificate; c != nil {
		t.line("certificate", fmt.Sprintf("expires %s, in %s", stamp(c.Expires), span(c.Expires.Sub(now).Seconds())))
	}
	t.line("clock", s.Clock.State+", "+stamp(s.Clock.Time))
	t.line("card", s.Card.text())
	for _, trouble := range s.Troubles {
		t.line("LOOK AT", trouble)
	}
	return t.Flush()
}

func (l *Link) text(now time.Time) string {
	since := ""
	if !l.Since.IsZero() {
		since = " for " + span(now.Sub(l.Since).Seconds())
	}
	out := "not connected" + since + " to " + l.Broker
	switch {
	case l.Connected:
		out = "connected" + since + " to " + l.Broker
	case l.Waiting:
		out = "connected to " + l.Broker + ", waiting for the primary host" + since
	case l.Error != "":
		out += ": " + l.Error
	}
	if l.Hold {
		out += fmt.Sprintf("; HOLD for %s: %s", span(now.Sub(l.HoldSince).Seconds()), l.HoldWhy)
	}
	return out
}

func (s *Source) text() string {
	out := fmt.Sprintf("%s, %s, %d readings", s.Driver, s.State, s.Readings)
	if !s.Latest.IsZero() {
		out += fmt.Sprintf(", the last %s ago", span(s.Quiet))
	}
	if s.Malformed > 0 {
		out += fmt.Sprintf(", %d malformed lines", s.Malformed)
	}
	if s.Refused > 0 {
		out += fmt.Sprintf(", %d events refused", s.Refused)
	}
	return out + orNone(": ", s.Error)
}

func (c *Card) text() string {
	out := fmt.Sprintf("%s written in %s of running (%s since the start)", bytesText(c.DeviceBytes), span(c.RunningSeconds), bytesText(c.StartBytes))
	if c.ReadingBytes > 0 {
		out += fmt.Sprintf(", %.2f bytes per byte of readings", float64(c.DeviceBytes)/float64(c.ReadingBytes))
	}
	if c.StoredBytes > 0 {
		out += fmt.Sprintf(", %.2f per byte stored", float64(c.DeviceBytes)/float64(c.StoredBytes))
	}
	if c.LifeSeconds == 0 {
		return out + "; how long the card lasts is not known before 10 minutes of running"
	}
	return out + fmt.Sprintf("; at that rate a card of %s lasts %s more", bytesText(c.Endurance), span(c.LifeSeconds))
}

// Text writes the holdings for people.
func (h *Holdings) Text(w io.Writer) error {
	state := "of an agent that does not run"
	if h.Live {
		state = "of an agent that runs"
	}
	fmt.Fprintf(w, "buffer of %s, %s\n\n", h.Data, state)
	t := newTable(w)
	t.line("EPOCH", "BEGAN", "ENDED", "NEXT", "HELD", "RETAINED", "POSITIONS")
	for _, e := range h.Epochs {
		t.line(e.ID, stamp(e.Began), e.Ended, e.Next, e.Held, e.Retained, e.HeldAt)
	}
	t.line()
	t.line("FILE", "SIZE", "STATE", "RECORDS", "READINGS", "LIVE")
	for _, f := range h.Files {
		fault := "  DAMAGED: "
		if f.State == unreadable {
			fault = "  NOT READ: "
		}
		t.line(f.Name, bytesText(f.Bytes), f.State, f.Records, f.Readings, fmt.Sprintf("%.0f%%", 100*f.LiveShare)+orNone(fault, f.Error))
	}
	for _, f := range h.SetAside {
		t.line(f.Name, bytesText(f.Bytes), "set aside as damaged")
	}
	if len(h.Losses) > 0 {
		t.line()
		t.line("LOST IN EPOCH", "POSITIONS", "REASON", "READINGS", "UNITS")
		for i := range h.Losses {
			l := &h.Losses[i]
			t.line(l.Epoch, fmt.Sprintf("[%d,%d)", l.From, l.To), l.Reason, l.Readings, strings.Join(l.Units, ","))
		}
	}
	if len(h.Cursors) > 0 {
		t.line()
		t.line("CURSOR", "BYTES")
		for _, c := range h.Cursors {
			t.line(c.Name, fmt.Sprint(c.Bytes)+orNone("  LOST WITH ", c.Lost))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if h.LossesPartial {
		fmt.Fprintln(w, "\nnot all records could be looked through for losses in the time there is; buffer verify takes its time")
	}
	if h.Card != nil {
		fmt.Fprintf(w, "\ncard: %s\n", h.Card.text())
	}
	for _, f := range h.Faults {
		fmt.Fprintf(w, "FAULT: %s\n", f)
	}
	return nil
}

// Text writes what is damaged in one line.
func (d *Damage) Text() string {
	where := d.File
	if d.Offset > 0 {
		where += fmt.Sprintf(" at byte %d", d.Offset)
	}
	if d.Epoch != "" {
		where += fmt.Sprintf(", position %d of %s", d.Position, d.Epoch)
	}
	return where + ": " + d.Error
}

func orNone(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.UTC().Format(time.RFC3339)
}

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// span writes seconds as people say them.
func span(seconds float64) string {
	switch s := seconds; {
	case s >= 3*year.Seconds():
		return fmt.Sprintf("%.0f years", s/year.Seconds())
	case s >= 3*day.Seconds():
		return fmt.Sprintf("%.0f days", s/day.Seconds())
	case s >= 10 || s <= -10:
		return time.Duration(s * float64(time.Second)).Round(time.Second).String()
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond).String()
}

// bytesText writes a number of bytes with three digits.
func bytesText(n int64) string {
	f, unit := float64(n), 0
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	for ; f >= 1000 && unit < len(units)-1; unit++ {
		f /= 1024
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.3g %s", f, units[unit])
}
