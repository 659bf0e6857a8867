package collector

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"andon.internal/collector/auditlog"
	"andon.internal/collector/store"
)

// NotedHeads reads heads of the audit log: those given, and all that stand in a file, if
// one is named.
func NotedHeads(given []string, file string) (heads []auditlog.Head, err error) {
	for _, text := range given {
		h, err := auditlog.ParseHead(text)
		if err != nil {
			return nil, err
		}
		heads = append(heads, h)
	}
	if file == "" {
		return heads, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read heads: %w", err)
	}
	defer f.Close()
	before := len(heads)
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		heads = append(heads, auditlog.FindHeads(lines.Text())...)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read heads: %s: %w", file, err)
	}
	if len(heads) == before {
		return nil, fmt.Errorf("read heads: there is none in %s", file)
	}
	return heads, nil
}

// AuditLogSummary is what [VerifyAuditLog] found.
type AuditLogSummary struct {
	Entries int64      `json:"entries"`
	First   *time.Time `json:"first"`
	Last    *time.Time `json:"last"`
	Head    string     `json:"head,omitempty"`
	Noted   int        `json:"noted_heads"` // that were compared
	Broken  string     `json:"broken,omitempty"`
	// Seq is the number of the first entry that is not as it was; nil where it is none.
	Seq *int64 `json:"broken_at,omitempty"`
}

// WriteJSON writes the summary as one JSON object.
func (s AuditLogSummary) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(s)
}

// WriteText writes the summary of a log that is whole, for people.
func (s AuditLogSummary) WriteText(w io.Writer) error {
	if s.Entries == 0 {
		_, err := fmt.Fprintln(w, "the audit log is empty")
		return err
	}
	_, err := fmt.Fprintf(w, "the audit log is whole: %d entries, from %s to %s; noted heads compared: %d\nhead %s\n",
		s.Entries, clock(*s.First), clock(*s.Last), s.Noted, s.Head)
	return err
}

// VerifyAuditLog verifies the whole audit log, in constant memory. When it is broken both
// the summary and the error say so; any other error leaves the summary empty.
func VerifyAuditLog(ctx context.Context, c Config, noted []auditlog.Head, log *slog.Logger) (AuditLogSummary, error) {
	s, err := openStore(ctx, c, log, nil, nil)
	if err != nil {
		return AuditLogSummary{}, err
	}
	defer s.Close()
	sum, err := s.VerifyAudit(ctx, noted)
	if broken := (*auditlog.Broken)(nil); errors.As(err, &broken) {
		out := AuditLogSummary{Broken: broken.Error()}
		if broken.Seq != auditlog.Whole {
			out.Seq = &broken.Seq
		}
		return out, err
	}
	if err != nil {
		return AuditLogSummary{}, err
	}
	out := AuditLogSummary{Entries: sum.Entries, First: known(sum.First), Last: known(sum.Last), Noted: sum.Noted}
	if sum.Entries > 0 {
		out.Head = sum.Head.String()
	}
	return out, nil
}

// AuditHead returns the head of the audit log as text.
func AuditHead(ctx context.Context, c Config, log *slog.Logger) (string, error) {
	s, err := openStore(ctx, c, log, nil, nil)
	if err != nil {
		return "", err
	}
	defer s.Close()
	head, err := s.AuditHead(ctx)
	if err == nil && head.Seq < 0 {
		err = errors.New("the audit log is empty")
	}
	return head.String(), err
}

// AuditLogFilter says which entries to list; empty fields mean all.
type AuditLogFilter = store.AuditLogFilter

// AuditLogEntries are entries of the audit log, the oldest first.
type AuditLogEntries []auditlog.Link

// AuditLog lists the audit log.
func AuditLog(ctx context.Context, c Config, f AuditLogFilter, log *slog.Logger) (AuditLogEntries, error) {
	s, err := openStore(ctx, c, log, nil, nil)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	list, err := s.AuditLog(ctx, f)
	return list, err
}

// WriteJSON writes one JSON object a line.
func (list AuditLogEntries) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	for _, l := range list {
		err := enc.Encode(struct {
			Seq    int64           `json:"seq"`
			At     time.Time       `json:"at"`
			Who    string          `json:"who"`
			Role   string          `json:"role"`
			From   string          `json:"from"`
			Action string          `json:"action"`
			Object string          `json:"object"`
			Result string          `json:"result"`
			Detail json.RawMessage `json:"detail"`
			ID     string          `json:"id"`
			Hash   string          `json:"hash"`
		}{
			l.Seq, l.At, l.Who, l.Role, l.From, l.Action, l.Object, l.Result,
			json.RawMessage(l.Detail), l.ID.String(), l.Hash.String(),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// WriteText writes a table, for people.
func (list AuditLogEntries) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SEQ\tAT\tWHO\tROLE\tFROM\tACTION\tOBJECT\tRESULT\tDETAIL")
	for _, l := range list {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Seq, clock(l.At), auditlog.Printable(l.Who), orDash(auditlog.Printable(l.Role)),
			orDash(auditlog.Printable(l.From)), auditlog.Printable(l.Action), orDash(auditlog.Printable(l.Object)), l.Result, short(auditlog.Printable(l.Detail)))
	}
	return t.Flush()
}
