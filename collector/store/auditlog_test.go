package store_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/collector/auditlog"
	"andon.internal/collector/store"
)

// deed is an entry of a test.
func deed(n int) auditlog.Entry {
	return auditlog.Entry{
		At: now.Add(time.Duration(n) * time.Second), Who: "Ann", Role: "operator", From: "10.0.0.7",
		Action: "acknowledge alarm", Object: fmt.Sprintf("alarm-%d", n),
		Detail: auditlog.Detail(map[string]any{"note": "on my way\x00 \u00e9 <b>\"\\"}), Result: auditlog.OK,
	}.Clean()
}

func deeds(from, to int) (list []auditlog.Entry) {
	for n := from; n < to; n++ {
		list = append(list, deed(n))
	}
	return list
}

// auditFixture is a log of the genesis entry and nine others.
func auditFixture(t *testing.T) (*fixture, auditlog.Head) {
	t.Helper()
	f := setUp(t)
	var head auditlog.Head
	for n := 0; n < 9; n += 3 {
		var err error
		if head, err = f.s.AppendAudit(t.Context(), deeds(n, n+3)); err != nil {
			t.Fatal(err)
		}
	}
	if head.Seq != 9 {
		t.Fatalf("the head is %v", head)
	}
	return f, head
}

// verify returns what verifying says.
func (f *fixture) verify(noted ...auditlog.Head) string {
	f.tb.Helper()
	_, err := f.s.VerifyAudit(f.tb.Context(), noted)
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAuditLogHoldsWhatIsAdded(t *testing.T) {
	f, head := auditFixture(t)
	sum, err := f.s.VerifyAudit(t.Context(), []auditlog.Head{head})
	if err != nil || sum.Entries != 10 || sum.Head != head || !sum.Last.Equal(deed(8).At) || sum.Noted != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
	if got, err := f.s.AuditHead(t.Context()); err != nil || got != head {
		t.Errorf("head %v, %v", got, err)
	}
	list, err := f.s.AuditLog(t.Context(), store.AuditLogFilter{})
	if err != nil || len(list) != 10 || list[9].Object != "alarm-8" || list[9].Who != "Ann" || list[9].Role != "operator" ||
		list[9].From != "10.0.0.7" || !strings.Contains(list[9].Detail, "on my way") || list[9].Head() != head {
		t.Errorf("%+v, %v", list, err)
	}
	if list[0].Action != auditlog.ActionGenesis || list[0].Object != one(t, f.dsn, "SELECT id FROM epoch_of_database") {
		t.Errorf("it begins with %+v", list[0])
	}
	for want, filter := range map[string]store.AuditLogFilter{
		"6 7 8 9": {Since: deed(5).At}, "8 9": {Most: 2}, "0": {Who: "andon-collector"}, "": {Action: "none"}, "9": {Who: "Ann", Action: "acknowledge alarm", Most: 1},
	} {
		list, err := f.s.AuditLog(t.Context(), filter)
		var got []string
		for _, l := range list {
			got = append(got, fmt.Sprint(l.Seq))
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%+v gives %v, %v", filter, got, err)
		}
	}

	// The same again, as after a commit that was not learnt of, adds nothing.
	again, err := f.s.AuditLog(t.Context(), store.AuditLogFilter{Most: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.s.AppendAudit(t.Context(), []auditlog.Entry{again[0].Entry}); err != nil || got != head {
		t.Errorf("the same again: %v, %v", got, err)
	}
	got, err := f.s.AppendAudit(t.Context(), []auditlog.Entry{again[0].Entry, deed(9)})
	if err != nil || got.Seq != 10 || f.verify(head, got) != "" {
		t.Errorf("the same with another: %v, %v, %s", got, err, f.verify(head, got))
	}
}

func TestEmptyAuditLogIsWhole(t *testing.T) {
	f := setUp(t)
	if got := f.verify(); got != "" {
		t.Error(got)
	}
	if head, err := f.s.AuditHead(t.Context()); err != nil || head != auditlog.Start() {
		t.Errorf("%v, %v", head, err)
	}
	if got := f.verify(auditlog.Head{Seq: 3}); !strings.Contains(got, "breaks at entry 0: it is missing: a head was noted at 3") {
		t.Error(got)
	}
}

func TestAuditLogIsOnlyAddedTo(t *testing.T) {
	f, _ := auditFixture(t)
	for sql, want := range map[string]string{
		`UPDATE audit_log SET who = 'Bob' WHERE seq = 3`:            "UPDATE of audit_log is refused",
		`DELETE FROM audit_log WHERE seq = 3`:                       "DELETE of audit_log is refused",
		`DELETE FROM audit_log WHERE false`:                         "DELETE of audit_log is refused",
		`TRUNCATE audit_log`:                                        "TRUNCATE of audit_log is refused",
		`DELETE FROM audit_head`:                                    "DELETE of audit_head is refused",
		`TRUNCATE audit_head`:                                       "TRUNCATE of audit_head is refused",
		`UPDATE audit_head SET seq = 4`:                             "UPDATE of audit_head is refused",
		`UPDATE audit_head SET hash = hash`:                         "UPDATE of audit_head is refused",
		`UPDATE audit_log SET at = 'infinity'`:                      "UPDATE of audit_log is refused",
		`INSERT INTO audit_log SELECT * FROM audit_log`:             "duplicate key",
		`INSERT INTO audit_head VALUES (true, 1, decode('','hex'))`: "",
	} {
		if got := failure(t, f.dsn, sql); got == "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
	if got := f.verify(); got != "" {
		t.Error(got)
	}
	// Who has no rights of their own has none here.
	exec(t, f.dsn, `DROP ROLE IF EXISTS nosy`, `CREATE ROLE nosy`)
	for _, table := range []string{"audit_log", "audit_head"} {
		if got := failure(t, f.dsn, `SET ROLE nosy; SELECT * FROM `+table); !strings.Contains(got, "permission denied") {
			t.Errorf("%s: %q", table, got)
		}
	}
	exec(t, f.dsn, `DROP ROLE nosy`)
}

// TestTamperedAuditLog changes the log as a superuser can.
func TestTamperedAuditLog(t *testing.T) {
	at := func(seq int, why string) string { return fmt.Sprintf("breaks at entry %d: %s", seq, why) }
	const changed = "its hash does not follow"
	type test struct{ name, sql, want string }
	tests := []test{
		{"middle deleted", `DELETE FROM audit_log WHERE seq = 4`, at(4, "it is missing; the next is 5")},
		{"first deleted", `DELETE FROM audit_log WHERE seq = 0`, at(0, "it is missing; the next is 1")},
		{"end deleted", `DELETE FROM audit_log WHERE seq > 6`, at(7, "it is missing, as is all that came after it up to 9")},
		{"end deleted, head mended", `DELETE FROM audit_log WHERE seq > 6;
 UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM audit_log WHERE seq = 6)`, at(7, "it is missing: a head was noted at 9")},
		{"all deleted, head mended", `DELETE FROM audit_log; UPDATE audit_head SET seq = -1`, at(0, "it is missing: a head was noted at 9")},
		{"all deleted", `DELETE FROM audit_log`, at(0, "it is missing, as is all")},
		{"deleted and closed up", `DELETE FROM audit_log WHERE seq = 4; UPDATE audit_log SET seq = seq + 100 WHERE seq > 4;
 UPDATE audit_log SET seq = seq - 101 WHERE seq > 100; UPDATE audit_head SET seq = 8`, at(4, changed)},
		{"inserted", `UPDATE audit_log SET seq = seq + 101 WHERE seq > 4; UPDATE audit_log SET seq = seq - 100 WHERE seq > 100;
 INSERT INTO audit_log SELECT 5, gen_random_uuid(), at, who, role, from_address, action, object, detail, result, hash FROM audit_log WHERE seq = 4`, at(5, changed)},
		{"inserted before the first", `INSERT INTO audit_log SELECT -5, gen_random_uuid(), at, who, role, from_address, action, object, detail, result, hash FROM audit_log WHERE seq = 4`, at(-5, "it stands where 0 must")},
		{"added at the end", `INSERT INTO audit_log SELECT 10, gen_random_uuid(), at, who, role, from_address, action, object, detail, result, hash FROM audit_log WHERE seq = 4`, at(10, changed)},
		{"doubled", `INSERT INTO audit_log SELECT * FROM audit_log WHERE seq = 4`, at(4, "it stands where 5 must")},
		{"reordered", `UPDATE audit_log SET seq = 100 WHERE seq = 4; UPDATE audit_log SET seq = 4 WHERE seq = 5; UPDATE audit_log SET seq = 5 WHERE seq = 100`, at(4, changed)},
		{"head gone", `DELETE FROM audit_head`, "the row that keeps its head is gone"},
		{"head put back", `UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM audit_log WHERE seq = 6)`, at(7, "it was added beside the collector")},
		{"head changed", `UPDATE audit_head SET hash = sha256('')`, at(9, "it is not the head that was kept")},
		{"the log of another database", `UPDATE epoch_of_database SET id = gen_random_uuid()`, at(0, "it is the log of database")},
		{"genesis of another kind", `UPDATE audit_log SET action = 'x' WHERE seq = 0`, at(0, "the first entry is not the one that begins the log")},
		{"time taken out", `UPDATE audit_log SET at = 'infinity' WHERE seq = 4`, at(4, "one of its columns is empty")},
		{"text taken out", `UPDATE audit_log SET who = NULL WHERE seq = 4`, at(4, "one of its columns is empty")},
	}
	// Any column of any entry.
	for _, seq := range []int{1, 4, 9} {
		for column, value := range map[string]string{
			"id": "gen_random_uuid()", "at": "at + interval '1 microsecond'", "who": "who || ' '", "role": "''", "from_address": "'10.0.0.8'",
			"action": "upper(action)", "object": "object || '0'", "detail": "(detail::text || ' ')::json", "result": "'refused'",
			"hash": "set_byte(hash, 31, get_byte(hash, 31) # 1)",
		} {
			tests = append(tests, test{
				fmt.Sprintf("%s of %d", column, seq),
				fmt.Sprintf("UPDATE audit_log SET %s = %s WHERE seq = %d", column, value, seq), at(seq, changed),
			})
		}
	}
	f, head := auditFixture(t)
	exec(t, f.dsn, `ALTER TABLE audit_log DISABLE TRIGGER ALL; ALTER TABLE audit_head DISABLE TRIGGER ALL;
 ALTER TABLE audit_log DROP CONSTRAINT audit_log_pkey, DROP CONSTRAINT audit_log_id_key, DROP CONSTRAINT audit_log_seq_check,
 DROP CONSTRAINT audit_log_at_check, DROP CONSTRAINT audit_log_who_check, ALTER who DROP NOT NULL;
 CREATE TABLE saved_log AS SELECT * FROM audit_log; CREATE TABLE saved_head AS SELECT * FROM audit_head;
 CREATE TABLE saved_id AS SELECT id FROM epoch_of_database`)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			exec(t, f.dsn, `DELETE FROM audit_log; INSERT INTO audit_log SELECT * FROM saved_log;
 DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM saved_head; UPDATE epoch_of_database SET id = (SELECT id FROM saved_id)`)
			if got := f.verify(head); got != "" {
				t.Fatal(got)
			}
			exec(t, f.dsn, tt.sql)
			if got := f.verify(head); !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestTwoWriteTheAuditLogAtOnce has entries of several stores, which stand for processes.
func TestTwoWriteTheAuditLogAtOnce(t *testing.T) {
	f := setUp(t)
	var writers sync.WaitGroup
	for w := range 4 {
		s := f.open()
		writers.Go(func() {
			for n := range 25 {
				if _, err := s.AppendAudit(t.Context(), deeds(w*100+n, w*100+n+2)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	// Who verifies meanwhile sees a whole chain.
	for range 5 {
		if got := f.verify(); got != "" {
			t.Error(got)
		}
	}
	writers.Wait()
	sum, err := f.s.VerifyAudit(t.Context(), nil)
	if err != nil || sum.Entries != 1+4*25*2 {
		t.Errorf("%+v, %v", sum, err)
	}
}

// TestAuditLogThatIsRefused tells an entry that can never be kept from what may be tried
// again.
func TestAuditLogThatIsRefused(t *testing.T) {
	f, _ := auditFixture(t)
	bad := deed(20)
	bad.Detail = "[]" // as Clean never leaves it
	if _, err := f.s.AppendAudit(t.Context(), []auditlog.Entry{deed(19), bad}); !errors.Is(err, auditlog.ErrRefused) {
		t.Errorf("a bad entry: %v", err)
	}
	exec(t, f.dsn, `INSERT INTO audit_log SELECT 10, gen_random_uuid(), at, who, role, from_address, action, object, detail, result, hash FROM audit_log WHERE seq = 4`)
	_, err := f.s.AppendAudit(t.Context(), deeds(21, 22))
	if errors.Is(err, auditlog.ErrRefused) || !store.IsRetry(err) || !strings.Contains(err.Error(), "audit verify-log") {
		t.Errorf("a number that somebody took: %v", err)
	}
	exec(t, f.dsn, `ALTER TABLE audit_head DISABLE TRIGGER ALL`, `DELETE FROM audit_head`)
	if _, err := f.s.AppendAudit(t.Context(), deeds(21, 22)); !store.IsRetry(err) || !strings.Contains(err.Error(), "audit verify-log") {
		t.Errorf("without a head: %v", err)
	}
	if _, err := f.s.AuditHead(t.Context()); err == nil {
		t.Error("a head that is gone was read")
	}
}

// failure runs statements and returns what is wrong with them.
func failure(tb testing.TB, dsn, sql string) string {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), dsn)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(tb.Context())
	if _, err = conn.Exec(tb.Context(), sql); err != nil {
		return err.Error()
	}
	return ""
}
