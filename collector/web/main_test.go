package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon.internal/collector/login"
	"andon.internal/collector/plant"
	"andon.internal/collector/web"
	"andon.internal/shared/alarm"
	"andon.internal/shared/profiles"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	cell = telemetry.Node{Group: "austin-line1", ID: "cell-07"}
	dyno = profiles.Find(profiles.Builtin(), "dyno")
)

// fakeHistory is a database that can be taken away.
type fakeHistory struct {
	mu     sync.Mutex
	down   error
	series web.Series
	runs   []web.Run
	asked  []web.SeriesQuery
	losses []web.Loss
}

func (h *fakeHistory) setDown(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = err
}

func (h *fakeHistory) Ping(context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down
}

func (h *fakeHistory) Series(_ context.Context, q web.SeriesQuery) (web.Series, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, q)
	return h.series, h.series.Profile != nil, h.down
}

func (h *fakeHistory) Runs(context.Context, string, string, time.Time, time.Time, int) ([]web.Run, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.runs, h.down
}

func (h *fakeHistory) Losses(context.Context, time.Duration) ([]web.Loss, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.losses, h.down
}

// fakeAcks takes acknowledgements, and applies them as the sentinel would.
type fakeAcks struct {
	p    *plant.Plant
	mu   sync.Mutex
	fail error
	got  []alarm.Acknowledgement
}

func (a *fakeAcks) Acknowledge(_ context.Context, k alarm.Acknowledgement) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail != nil {
		return a.fail
	}
	a.got = append(a.got, k)
	x, _ := a.p.AlarmByID(k.ID)
	x.AckedAt, x.AckedBy, x.Note, x.Sequence = k.At, k.By, k.Note, x.Sequence+1
	a.p.Alarm(time.Now(), x)
	return nil
}

// fixture is a command center over a plant that the test fills.
type fixture struct {
	tb      testing.TB
	p       *plant.Plant
	history *fakeHistory
	acks    *fakeAcks
	mu      sync.Mutex
	broker  error
	absent  []web.Absence
	journal web.Journal // nil: none
	desk    *login.Desk // nil: nobody logs in
	signOn  web.SingleSignOn
	audit   *notes
	ready   http.Handler
	web     *web.Web
}

func setUp(tb testing.TB, change ...func(*web.Config)) *fixture {
	tb.Helper()
	return setUpWith(tb, nil, change...)
}

// setUpWith is setUp with a journal.
func setUpWith(tb testing.TB, journal web.Journal, change ...func(*web.Config)) *fixture {
	tb.Helper()
	p := plant.New(plant.Config{})
	f := &fixture{tb: tb, p: p, history: &fakeHistory{}, acks: &fakeAcks{p: p}, audit: &notes{}, journal: journal}
	c := web.Config{Site: "austin", Location: time.FixedZone("CST", -6*3600)}
	for _, fn := range change {
		fn(&c)
	}
	var err error
	f.web, err = web.New(c, f.sources())
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// sources are what the test can take away.
func (f *fixture) sources() web.Sources {
	return web.Sources{
		Plant: f.p, History: f.history, Acks: f.acks, Journal: f.journal,
		Desk: f.desk, SignOn: f.signOn, Audit: f.audit, Ready: f.ready,
		Broker: func() error {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.broker
		},
		Roles: func(time.Time) []web.Absence {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.absent
		},
	}
}

func (f *fixture) setAbsent(list ...web.Absence) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.absent = list
}

func (f *fixture) setBroker(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broker = err
}

// watch runs Watch until the function that it returns is called.
func (f *fixture) watch() (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.tb.Context()))
	done := make(chan error, 1)
	go func() { done <- f.web.Watch(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			f.tb.Error(err)
		}
	}
}

// values of a dyno: winding temperature, pressure, running; the rest is plausible.
func values(winding, pressure float64, running bool) []telemetry.Value {
	d := telemetry.DoubleValue
	return []telemetry.Value{
		d(31), d(2400), d(winding), d(40), d(556), d(51), d(1.1), d(pressure), d(8), d(91),
		telemetry.IntegerValue(7), telemetry.BooleanValue(running),
	}
}

// read puts a reading of a unit that was born an hour ago into the plant.
func (f *fixture) read(unit string, now time.Time, q telemetry.Quality, v []telemetry.Value) {
	r := &telemetry.Record{Unit: unit, Profile: dyno, Born: now.Truncate(24 * time.Hour).UnixNano()}
	r.Append(now.UnixNano(), q, v)
	f.p.Record(now, cell, r, false)
}

// raise puts an alarm of a unit into the plant.
func (f *fixture) raise(id, unit string, p sentinel.Priority, now time.Time) {
	f.p.Alarm(now, alarm.Alarm{
		ID: id, Rule: "thermal-runaway", Priority: p, Group: cell.Group, Node: cell.ID, Unit: unit,
		Condition: alarm.Active, Quality: alarm.Good, RaisedAt: now, ActiveAt: now, Sequence: 1,
		Figures: []alarm.Figure{{Name: "hot", Value: 118.2, Unit: "degC"}}, Response: "check the coolant <now>",
	})
}

var errAway = errors.New("connection refused")

// do serves one request.
func (f *fixture) do(method, target, body string, header ...string) *httptest.ResponseRecorder {
	f.tb.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1:8080"+target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	f.web.Handler().ServeHTTP(rec, r)
	return rec
}

// get reads JSON of an answer with the given status.
func (f *fixture) get(target string, status int) map[string]any {
	f.tb.Helper()
	return f.decode(f.do(http.MethodGet, target, ""), status)
}

func (f *fixture) decode(rec *httptest.ResponseRecorder, status int) map[string]any {
	f.tb.Helper()
	if rec.Code != status {
		f.tb.Fatalf("status %d, want %d: %s", rec.Code, status, rec.Body)
	}
	var out map[string]any
	if err := json.NewDecoder(rec.Body).Decode(&out); err != nil && !errors.Is(err, io.EOF) {
		f.tb.Fatal(err)
	}
	return out
}

func newRequest(method, target, host string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Host = host
	return r
}

func (f *fixture) serve(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	f.web.Handler().ServeHTTP(rec, r)
	return rec
}

func heartbeat(rows uint64, oldest time.Duration) plant.Buffer {
	return plant.Buffer{Rows: rows, Oldest: oldest}
}

func body(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

func escape(s string) string { return url.QueryEscape(s) }
