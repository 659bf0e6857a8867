package store

import (
	"context"
	"strings"
	"time"

	"andon.internal/collector/auditlog"
)

// auditBatch is how many entries are held in memory while the log is verified.
const auditBatch = 500

// VerifyAudit goes along the whole audit log, as it is at one moment, and returns what it
// holds. A chain that is broken, or lacks one of the heads that were noted, is an
// [*auditlog.Broken].
func (s *Store) VerifyAudit(ctx context.Context, noted []auditlog.Head) (auditlog.Summary, error) {
	const op = "verify audit log"
	t, err := s.begin(ctx, nil, call{sql: `DECLARE audit_chain NO SCROLL CURSOR FOR
 SELECT ` + auditColumns + `, h.seq, encode(h.hash, 'hex') FROM audit_head h LEFT JOIN audit_log l ON true ORDER BY l.seq, l.id`})
	if err != nil {
		return auditlog.Summary{}, s.fail(ctx, nil, op, err, false)
	}
	defer t.rollback()
	v := auditlog.NewVerifier(databaseOf(t.identity), noted...)
	for more := true; more; {
		rows, broken := 0, error(nil)
		err := t.run(ctx, call{sql: `FETCH ` + string(intParam(auditBatch)) + ` FROM audit_chain`, row: func(row [][]byte) error {
			rows++
			if broken == nil {
				broken = takeLink(v, row)
			}
			return nil
		}})
		if err != nil {
			return auditlog.Summary{}, s.fail(ctx, nil, op, err, false)
		}
		if broken != nil {
			return auditlog.Summary{}, broken
		}
		more = rows > 0
	}
	return v.End()
}

// takeLink takes a row of the chain, which stands beside the head that is kept.
func takeLink(v *auditlog.Verifier, row [][]byte) error {
	n := len(row) - 2
	head, err := storedHead(row[n:])
	if err != nil {
		return &auditlog.Broken{Seq: auditlog.Whole, Why: "the head that is kept is none"}
	}
	v.Stored(head)
	empty := true
	for _, column := range row[:n] {
		empty = empty && column == nil
	}
	if empty {
		return nil // a log without entries
	}
	l, err := readLink(row[:n])
	if err != nil {
		return err
	}
	return v.Take(l)
}

// AuditLogFilter says which entries to list; empty fields mean all.
type AuditLogFilter struct {
	Who, Action string
	Since       time.Time
	Most        int // the newest; 0 means 100
}

// AuditLog returns entries of the audit log, the oldest first. It verifies nothing.
func (s *Store) AuditLog(ctx context.Context, f AuditLogFilter) (out []auditlog.Link, err error) {
	if f.Most <= 0 {
		f.Most = 100
	}
	sql, params := `SELECT `+auditColumns+` FROM audit_log l WHERE true`, [][]byte(nil)
	where := func(condition string, param []byte) {
		params = append(params, param)
		sql += " AND " + strings.ReplaceAll(condition, "?", "$"+string(intParam(int64(len(params)))))
	}
	if f.Who != "" {
		where("l.who = ?::text", []byte(f.Who))
	}
	if f.Action != "" {
		where("l.action = ?::text", []byte(f.Action))
	}
	if !f.Since.IsZero() {
		where("l.at >= ?::timestamptz", appendMicros(nil, f.Since.UnixMicro()))
	}
	params = append(params, intParam(int64(f.Most)))
	sql = `SELECT * FROM (` + sql + ` ORDER BY l.seq DESC LIMIT $` + string(intParam(int64(len(params)))) + `::bigint) newest ORDER BY 1`
	err = s.read(ctx, call{sql: sql, params: params, row: func(v [][]byte) error {
		l, err := readLink(v)
		out = append(out, l)
		return err
	}})
	return out, s.fail(ctx, nil, "read audit log", err, false)
}
