package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"andon.internal/collector/auditlog"
)

// AppendAudit adds entries at the end of the audit log, in one transaction. See
// [auditlog.Store].
func (s *Store) AppendAudit(ctx context.Context, list []auditlog.Entry) (auditlog.Head, error) {
	const op = "write audit log"
	head, t, err := s.holdAudit(ctx, list)
	if err != nil {
		return head, s.failAudit(ctx, op, err, false)
	}
	var links auditLinks
	if head.Seq < 0 {
		head = links.add(head, auditlog.Genesis(databaseOf(t.identity), s.cfg.Now()))
	}
	for _, e := range list {
		if !t.there[e.ID] {
			head = links.add(head, e)
		}
	}
	moved := call{
		sql:    `UPDATE audit_head SET seq = $1::bigint, hash = decode($2::text, 'hex') WHERE seq < $1::bigint`,
		params: [][]byte{intParam(head.Seq), []byte(head.Hash.String())},
	}
	if err := t.commit(ctx, links.insert(), moved); err != nil {
		return head, s.failAudit(ctx, op, err, t.unknown)
	}
	return head, nil
}

// failAudit marks what the database will never take. An entry whose number is taken is
// none of that: somebody else wrote into the log, and that must not make it lose any.
func (s *Store) failAudit(ctx context.Context, op string, err error, unknown bool) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case strings.HasPrefix(pg.Code, "22"), pg.Code == "23514", pg.Code == "23502":
			err = fmt.Errorf("%w: %w", auditlog.ErrRefused, err)
		case pg.Code == "23505":
			err = fmt.Errorf("%w; somebody else wrote into it: look with andon-collector audit verify-log", err)
		}
	}
	return s.fail(ctx, nil, op, err, unknown)
}

// auditTx is a transaction that holds the end of the audit log.
type auditTx struct {
	*tx
	there map[auditlog.ID]bool // which entries have been added before
}

// holdAudit begins a transaction and takes the end of the log: whoever else adds entries
// waits until it has ended.
func (s *Store) holdAudit(ctx context.Context, entries []auditlog.Entry) (head auditlog.Head, t auditTx, err error) {
	var ids list
	for i := range entries {
		ids.text(entries[i].ID.String())
	}
	t.there = map[auditlog.ID]bool{}
	held := false
	t.tx, err = s.begin(ctx, nil,
		call{sql: `SELECT seq, encode(hash, 'hex') FROM audit_head FOR UPDATE`, row: func(v [][]byte) (err error) {
			held = true
			head, err = storedHead(v)
			return err
		}},
		call{sql: `SELECT id FROM audit_log WHERE id = ANY ($1::uuid[])`, params: [][]byte{ids.param()}, row: func(v [][]byte) error {
			id, err := auditlog.ParseID(string(v[0]))
			t.there[id] = true
			return err
		}})
	if err == nil && !held {
		t.rollback()
		err = errors.New("the row of audit_head is gone: somebody changed the database; look with: andon-collector audit verify-log")
	}
	return head, t, err
}

// auditLinks are rows to insert.
type auditLinks struct {
	seq, id, at, who, role, from, action, object, detail, result, hash list
}

// add links an entry to the head and returns the new head.
func (a *auditLinks) add(head auditlog.Head, e auditlog.Entry) auditlog.Head {
	l := head.Add(e)
	a.seq.int(l.Seq)
	a.id.text(l.ID.String())
	a.at.micros(l.At.UnixMicro())
	a.who.text(l.Who)
	a.role.text(l.Role)
	a.from.text(l.From)
	a.action.text(l.Action)
	a.object.text(l.Object)
	a.detail.text(l.Detail)
	a.result.text(l.Result)
	a.hash.text(l.Hash.String())
	return l.Head()
}

func (a *auditLinks) insert() call {
	c := call{sql: `INSERT INTO audit_log (seq, id, at, who, role, from_address, action, object, detail, result, hash)
 SELECT q, i, t, w, r, f, a, o, d::json, s, decode(h, 'hex') FROM unnest($1::bigint[], $2::uuid[], $3::timestamptz[], $4::text[],
 $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[]) u(q, i, t, w, r, f, a, o, d, s, h)`}
	for _, l := range []*list{&a.seq, &a.id, &a.at, &a.who, &a.role, &a.from, &a.action, &a.object, &a.detail, &a.result, &a.hash} {
		c.params = append(c.params, l.param())
	}
	return c
}

// databaseOf is the id of a database's identity, without its timeline.
func databaseOf(identity string) string {
	id, _, _ := strings.Cut(identity, "/")
	return id
}

// AuditHead returns the end of the audit log; of an empty one, [auditlog.Start].
func (s *Store) AuditHead(ctx context.Context) (auditlog.Head, error) {
	head, found := auditlog.Start(), false
	err := s.read(ctx, call{sql: `SELECT seq, encode(hash, 'hex') FROM audit_head`, row: func(v [][]byte) (err error) {
		found = true
		head, err = storedHead(v)
		return err
	}})
	if err == nil && !found {
		err = errors.New("the row of audit_head is gone: somebody changed the database")
	}
	return head, s.fail(ctx, nil, "read audit log", err, false)
}

// storedHead reads a row of audit_head.
func storedHead(v [][]byte) (auditlog.Head, error) {
	if string(v[0]) == "-1" {
		return auditlog.Start(), nil
	}
	return auditlog.ParseHead(string(v[0]) + ":" + string(v[1]))
}

const auditColumns = `l.seq, l.id, CASE WHEN isfinite(l.at) THEN (extract(epoch FROM l.at) * 1000000)::bigint END,
 l.who, l.role, l.from_address, l.action, l.object, l.detail::text, l.result, encode(l.hash, 'hex')`

// readLink reads a row of auditColumns. What cannot have been written as it stands is a
// [*auditlog.Broken].
func readLink(v [][]byte) (l auditlog.Link, err error) {
	seq := int64(auditlog.Whole)
	if v[0] != nil {
		if seq, err = strconv.ParseInt(string(v[0]), 10, 64); err != nil {
			return l, err
		}
	}
	for _, column := range v {
		if column == nil {
			return l, &auditlog.Broken{Seq: seq, Why: "one of its columns is empty"}
		}
	}
	us, err := parseInt(v[2])
	if err != nil {
		return l, err
	}
	l.Entry = auditlog.Entry{
		Seq: seq, At: time.UnixMicro(us).UTC(), Who: string(v[3]), Role: string(v[4]), From: string(v[5]),
		Action: string(v[6]), Object: string(v[7]), Detail: string(v[8]), Result: string(v[9]),
	}
	if l.ID, err = auditlog.ParseID(string(v[1])); err != nil {
		return l, &auditlog.Broken{Seq: seq, Why: err.Error()}
	}
	hash, err := hex.DecodeString(string(v[10]))
	if err != nil || len(hash) != len(l.Hash) {
		return l, &auditlog.Broken{Seq: seq, Why: "its hash is none"}
	}
	l.Hash = auditlog.Hash(hash)
	return l, nil
}
