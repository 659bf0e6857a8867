package auditlog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon.internal/collector/auditlog"
	"andon.internal/collector/store"
	"andon.internal/shared/pgserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plant is a database that can be taken away, with its store.
type plant struct {
	tb  testing.TB
	pg  *pgserver.Server
	s   *store.Store
	log syncBuffer
}

func newPlant(tb testing.TB) *plant {
	tb.Helper()
	p := &plant{tb: tb}
	var err error
	if p.pg, err = pgserver.Start(tb.Context(), pgserver.Options{}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.pg.Remove(); err != nil {
			tb.Error(err)
		}
	})
	if p.s, err = store.Open(tb.Context(), store.Config{DSN: p.pg.DSN()}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.s.Close)
	if err := p.s.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return p
}

// write runs a writer until stop is called.
func (p *plant) write(change ...func(*auditlog.Config)) (w *auditlog.Writer, stop func()) {
	p.tb.Helper()
	c := auditlog.Config{Store: p.s, Logger: slog.New(slog.NewTextHandler(&p.log, nil))}
	for _, fn := range change {
		fn(&c)
	}
	w, err := auditlog.NewWriter(c)
	if err != nil {
		p.tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return w, func() {
		p.tb.Helper()
		cancel()
		if err := <-done; err != nil {
			p.tb.Error(err)
		}
	}
}

// until waits until the log has entries that the condition holds of.
func (p *plant) until(what string, holds func(list []auditlog.Link) bool) []auditlog.Link {
	p.tb.Helper()
	for limit := time.Now().Add(40 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		list, err := p.s.AuditLog(p.tb.Context(), store.AuditLogFilter{Most: 10_000})
		if err == nil && holds(list) {
			return list
		}
		if time.Now().After(limit) {
			p.tb.Fatalf("%s: the log holds %+v, %v\n%s", what, list, err, p.log.String())
		}
	}
}

// whole fails the test unless the chain verifies.
func (p *plant) whole(noted ...auditlog.Head) auditlog.Summary {
	p.tb.Helper()
	sum, err := p.s.VerifyAudit(p.tb.Context(), noted)
	if err != nil {
		p.tb.Error(err)
	}
	return sum
}

func done(n int) auditlog.Entry {
	return auditlog.Entry{Who: "Ann", Action: "acknowledge alarm", Object: fmt.Sprint(n), Result: auditlog.OK}
}

func count(n int) func([]auditlog.Link) bool {
	return func(list []auditlog.Link) bool { return len(list) == n }
}

// detail reads the detail of an entry.
func detail(tb testing.TB, l auditlog.Link) (out map[string]any) {
	tb.Helper()
	if err := json.Unmarshal([]byte(l.Detail), &out); err != nil {
		tb.Fatal(err)
	}
	return out
}

// TestDatabaseAwayAndBack notes entries while there is no database.
func TestDatabaseAwayAndBack(t *testing.T) {
	p := newPlant(t)
	w, stop := p.write(func(c *auditlog.Config) { c.Waiting = 10 })
	w.Note(done(0))
	p.until("the first", count(2))
	if err := p.pg.Stop(); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < 16; n++ { // the last five find no room
		w.Note(done(n))
	}
	for limit := time.Now().Add(20 * time.Second); !strings.Contains(p.log.String(), "cannot be written"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("nobody says that the log is not written:\n%s", p.log.String())
		}
	}
	if err := p.pg.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.until("those that waited", func(list []auditlog.Link) bool { return len(list) == 13 })
	w.Note(done(16))
	list := p.until("one more", count(14))
	for i, l := range list[1:12] {
		if l.Object != fmt.Sprint(i) {
			t.Errorf("entry %d is of %s", i, l.Object)
		}
	}
	if l := list[12]; l.Action != auditlog.ActionLost || l.Result != auditlog.Failed || detail(t, l)["entries"] != 5.0 {
		t.Errorf("the lost are told as %+v", l)
	}
	if list[13].Object != "16" {
		t.Errorf("the last is %+v", list[13])
	}
	stop()
	sum := p.whole()
	heads := auditlog.FindHeads(p.log.String())
	if len(heads) != 2 || heads[0].Seq != 1 || heads[1] != sum.Head {
		t.Errorf("the process log has the heads %v, the chain ends at %v", heads, sum.Head)
	}
	p.whole(heads...)
	for _, want := range []string{"cannot be written", "is written again"} {
		if strings.Count(p.log.String(), want) != 1 {
			t.Errorf("the log does not say once that it %s:\n%s", want, p.log.String())
		}
	}
}

func TestClosingWritesWhatIsLeft(t *testing.T) {
	p := newPlant(t)
	w, err := auditlog.NewWriter(auditlog.Config{Store: p.s})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 300 {
		w.Note(done(n))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Run(ended); err != nil {
		t.Fatal(err)
	}
	if sum := p.whole(); sum.Entries != 301 {
		t.Errorf("%d entries", sum.Entries)
	}

	// Without a database it gives up within its limit, and says how many are lost.
	if err := p.pg.Stop(); err != nil {
		t.Fatal(err)
	}
	w, err = auditlog.NewWriter(auditlog.Config{Store: p.s, Closing: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	w.Note(done(1))
	w.Note(done(2))
	if err := w.Run(ended); err == nil || !strings.Contains(err.Error(), "2 entries are lost") {
		t.Errorf("the end says %v", err)
	}
}

// TestFloodIsSummedUp has attempts that somebody without any right can make.
func TestFloodIsSummedUp(t *testing.T) {
	p := newPlant(t)
	w, stop := p.write()
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for n := range 1000 {
				w.Note(auditlog.Entry{
					Who: fmt.Sprint("mallory", n), From: fmt.Sprintf("10.0.%d.%d", g, n%100), Action: "acknowledge alarm",
					Object: fmt.Sprint(n), Result: auditlog.Refused,
				})
			}
		})
	}
	all.Wait()
	w.Note(auditlog.Entry{Action: "request page", Result: auditlog.Failed})
	w.Note(done(1)) // what succeeds is never summed up
	stop()
	list, err := p.s.AuditLog(t.Context(), store.AuditLogFilter{Most: 100})
	if err != nil || len(list) != 1+20+1+2 {
		t.Fatalf("%d entries, %v", len(list), err)
	}
	sums := list[22:]
	if sums[0].Action != "acknowledge alarm" || sums[0].Result != auditlog.Refused || detail(t, sums[0])["more"] != 3980.0 {
		t.Errorf("sum %+v", sums[0])
	}
	if from := detail(t, sums[0])["from"].([]any); len(from) != 5 {
		t.Errorf("from %v", from)
	}
	if sums[1].Action != "request page" || detail(t, sums[1])["more"] != 1.0 {
		t.Errorf("sum %+v", sums[1])
	}
	p.whole()
}

// refusing is a store that never takes one of the entries; the rest is the real one's.
type refusing struct {
	*store.Store
	object string
}

func (r refusing) AppendAudit(ctx context.Context, list []auditlog.Entry) (auditlog.Head, error) {
	for _, e := range list {
		if e.Object == r.object {
			e.Detail = "[]" // which the table refuses
			_, err := r.Store.AppendAudit(ctx, []auditlog.Entry{e})
			return auditlog.Start(), err
		}
	}
	return r.Store.AppendAudit(ctx, list)
}

func TestRefusedEntryHoldsUpNoOther(t *testing.T) {
	p := newPlant(t)
	w, err := auditlog.NewWriter(auditlog.Config{Store: refusing{p.s, "3"}, Logger: slog.New(slog.NewTextHandler(&p.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 6 {
		w.Note(done(n))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Run(ended); err != nil {
		t.Fatal(err)
	}
	list, err := p.s.AuditLog(t.Context(), store.AuditLogFilter{})
	var got []string
	for _, l := range list {
		got = append(got, l.Object)
	}
	if err != nil || strings.Join(got[1:], " ") != "0 1 2 4 5 " || list[6].Action != auditlog.ActionLost || detail(t, list[6])["entries"] != 1.0 {
		t.Errorf("%q, %v", got, err)
	}
	if !strings.Contains(p.log.String(), "is given up") {
		t.Error(p.log.String())
	}
}

// TestHeadIsPublished has the head written to the process log while nothing else happens.
func TestHeadIsPublished(t *testing.T) {
	p := newPlant(t)
	w, stop := p.write(func(c *auditlog.Config) { c.Publish = 50 * time.Millisecond })
	defer stop()
	w.Note(done(1))
	p.until("the first", count(2))
	w.Note(done(2))
	for limit := time.Now().Add(20 * time.Second); len(auditlog.FindHeads(p.log.String())) < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("no second head in\n%s", p.log.String())
		}
	}
	p.whole(auditlog.FindHeads(p.log.String())...)
}

func TestWriterWantsAStore(t *testing.T) {
	if _, err := auditlog.NewWriter(auditlog.Config{}); err == nil {
		t.Error("a writer without a store was made")
	}
}

// syncBuffer is a log that is written and read at once.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
