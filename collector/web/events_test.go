package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/collector/web"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

// browser is an event stream's other end. While it is held it takes nothing.
type browser struct {
	header http.Header
	mu     sync.Mutex
	held   chan struct{} // nil: not held
	events []event
	rest   string
}

type event struct {
	name string
	data map[string]any
	at   time.Time
}

func (b *browser) Header() http.Header { return b.header }
func (b *browser) WriteHeader(int)     {}
func (b *browser) Flush()              {}

func (b *browser) Write(p []byte) (int, error) {
	b.mu.Lock()
	held := b.held
	b.mu.Unlock()
	if held != nil {
		<-held
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rest += string(p)
	for {
		one, rest, ok := strings.Cut(b.rest, "\n\n")
		if !ok {
			return len(p), nil
		}
		b.rest = rest
		name, data, ok := strings.Cut(strings.TrimPrefix(one, "event: "), "\ndata: ")
		if !ok {
			continue // retry:
		}
		e := event{name: name, at: time.Now()}
		if err := json.Unmarshal([]byte(data), &e.data); err != nil {
			e.name = "broken: " + err.Error()
		}
		b.events = append(b.events, e)
	}
}

func (b *browser) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = make(chan struct{})
}

func (b *browser) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.held)
	b.held = nil
}

// take returns the events of a name since the last take of anything.
func (b *browser) take(name string) []event {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []event
	for _, e := range b.events {
		if e.name == name || name == "" {
			out = append(out, e)
		}
	}
	b.events = nil
	return out
}

// open opens a stream, until close.
func (f *fixture) open(target string) (b *browser, end func()) {
	ctx, cancel := context.WithCancel(f.tb.Context())
	b = &browser{header: http.Header{}}
	done := make(chan struct{})
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+target, nil).WithContext(ctx)
	go func() {
		defer close(done)
		f.web.Handler().ServeHTTP(b, r)
	}()
	return b, func() {
		cancel()
		<-done
	}
}

// winding is the winding temperature of the only unit in a change.
func winding(e event) any {
	changes, _ := e.data["changes"].([]any)
	if len(changes) != 1 {
		return fmt.Sprintf("%d changes", len(changes))
	}
	return changes[0].(map[string]any)["v"].([]any)[0].([]any)[0]
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		f.read("dyno-0001", time.Now(), 0, values(60, 400, true))
		stop := f.watch()
		defer stop()
		b, end := f.open("/api/v1/events?unit=austin-line1/dyno-0001")
		defer end()
		synctest.Wait()
		first := b.take("")
		if len(first) < 2 || first[0].name != "snapshot" || len(first[0].data["units"].([]any)) != 1 || first[1].name != "unit" {
			t.Fatalf("the stream begins with %v", first)
		}

		f.read("dyno-0001", time.Now(), 0, values(61, 400, true))
		time.Sleep(1100 * time.Millisecond)
		got := b.take("change")
		if len(got) != 1 || winding(got[0]) != 61. {
			t.Errorf("after a reading and a second: %v", got)
		}

		// What changes in more than values comes whole.
		f.read("dyno-0002", time.Now(), telemetry.QualitySimulated, values(62, 400, true))
		time.Sleep(time.Second)
		if got := b.take("change"); len(got) != 1 || len(got[0].data["units"].([]any)) != 1 {
			t.Errorf("after a birth: %v", got)
		}

		time.Sleep(4 * time.Second)
		if got := b.take("heartbeat"); len(got) != 2 || got[0].data["source"] != "live" {
			t.Errorf("heartbeats of 4 s: %v", got)
		}

		// An alarm does not wait for the second.
		time.Sleep(300 * time.Millisecond)
		b.take("")
		raised := time.Now()
		f.raise("x1", "dyno-0001", sentinel.Critical, raised)
		synctest.Wait()
		got = b.take("change")
		if len(got) != 1 || !got[0].at.Equal(raised) || len(got[0].data["alarms"].([]any)) != 1 {
			t.Errorf("at an alarm: %v", got)
		}

		// Nor does the database, once it is noticed.
		f.history.setDown(errAway)
		time.Sleep(1100 * time.Millisecond)
		for _, e := range b.take("change") {
			if e.data["source"] == "memory" {
				return
			}
		}
		t.Error("the stream did not tell that the database is away")
	})
}

func TestSlowClientGetsTheLastValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		f.read("dyno-0001", time.Now(), 0, values(60, 400, true))
		stop := f.watch()
		defer stop()
		b, end := f.open("/api/v1/events")
		defer end()
		time.Sleep(1500 * time.Millisecond)
		b.hold()
		for i := range 60 {
			f.read("dyno-0001", time.Now(), 0, values(float64(70+i), 400, true))
			time.Sleep(time.Second)
		}
		b.take("")
		b.release()
		synctest.Wait()
		got := b.take("change")
		// What was being written when it was held may come, and then the newest.
		if len(got) < 1 || len(got) > 2 || winding(got[len(got)-1]) != 129. {
			t.Errorf("after a minute in which it took nothing it got %d changes: %v", len(got), got)
		}
		time.Sleep(1100 * time.Millisecond)
		if got := b.take("change"); len(got) > 1 {
			t.Errorf("then %d changes a second", len(got))
		}
	})
}

func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t, func(c *web.Config) { c.MaxClients = 2 })
		stop := f.watch()
		_, end1 := f.open("/api/v1/events")
		_, end2 := f.open("/api/v1/events")
		synctest.Wait()
		rec := f.do(http.MethodGet, "/api/v1/events", "")
		if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
			t.Errorf("the third stream: %d", rec.Code)
		}
		end1()
		b3, end3 := f.open("/api/v1/events")
		synctest.Wait()
		if got := b3.take("snapshot"); len(got) != 1 {
			t.Errorf("after one left: %d snapshots", len(got))
		}
		// The end of Watch ends the streams by itself.
		stop()
		synctest.Wait()
		if rec := f.do(http.MethodGet, "/api/v1/events", ""); rec.Code != http.StatusServiceUnavailable {
			t.Errorf("a stream after the end: %d", rec.Code)
		}
		end2()
		end3()
	})
}

func TestLongAbsenceBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		f.read("dyno-0001", time.Now(), 0, values(60, 400, true))
		stop := f.watch()
		defer stop()
		b, end := f.open("/api/v1/events")
		defer end()
		time.Sleep(1500 * time.Millisecond)
		b.hold()
		f.read("dyno-0001", time.Now(), 0, values(61, 400, true))
		time.Sleep(2 * time.Second)
		// More units go than the picture remembers.
		for i := range 1500 {
			id := fmt.Sprintf("u%d", i)
			f.read(id, time.Now(), 0, values(1, 1, true))
			f.p.UnitDied(time.Now(), cell, id)
		}
		time.Sleep(11 * time.Minute)
		b.take("")
		b.release()
		synctest.Wait()
		if got := b.take("snapshot"); len(got) != 1 || len(got[0].data["units"].([]any)) != 1 {
			t.Errorf("%d snapshots", len(got))
		}
	})
}
