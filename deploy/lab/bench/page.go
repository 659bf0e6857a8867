package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"

	"andon.internal/shared/alarm"
)

// page follows the command center's event stream as a browser does, and notes when
// what came. Its methods are safe for concurrent use.
type page struct {
	cancel  context.CancelFunc
	done    sync.WaitGroup
	changed chan struct{} // capacity 1: a unit or an alarm came, or the stream ended

	mu     sync.Mutex
	onTest map[string]time.Time    // births, by unit
	alarms map[alarmKey]shownAlarm // as each was first shown
	units  map[uint32]string       // names, by the key that says that one is gone
	err    error                   // why the stream ended
}

type alarmKey struct{ rule, unit string }

// shownAlarm is an alarm as the page first showed it.
type shownAlarm struct {
	alarm.Alarm
	at time.Time // when the last byte of its event was there
}

// openPage opens the stream of the pages at an address.
func openPage(ctx context.Context, address string) (*page, error) {
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/api/v1/events", nil)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open the page: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: 10 * time.Second, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open the page: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		cancel()
		res.Body.Close()
		return nil, fmt.Errorf("open the page: status %d", res.StatusCode)
	}
	p := newPage()
	p.cancel = cancel
	p.done.Go(func() {
		defer res.Body.Close()
		err := p.follow(res.Body, time.Now)
		p.mu.Lock()
		p.err = fmt.Errorf("follow the page: %w", err)
		p.mu.Unlock()
		p.signal()
	})
	return p, nil
}

func newPage() *page {
	return &page{
		changed: make(chan struct{}, 1), onTest: map[string]time.Time{},
		alarms: map[alarmKey]shownAlarm{}, units: map[uint32]string{},
	}
}

func (p *page) close() {
	p.cancel()
	p.done.Wait()
}

func (p *page) signal() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// follow takes events until the stream ends; it never returns nil.
func (p *page) follow(stream io.Reader, now func() time.Time) error {
	in := bufio.NewReaderSize(stream, 64<<10)
	var name string
	var data []byte
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			if err == io.EOF {
				return errors.New("the event stream ended")
			}
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		key, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case len(line) == 0:
			if err := p.take(name, data, now()); err != nil {
				return fmt.Errorf("read event %q: %w", name, err)
			}
			name, data = "", nil
		case string(key) == "event":
			name = string(value)
		case string(key) == "data":
			data = value
		}
	}
}

// picture is what the events snapshot and change have in common, as far as it matters
// here.
type picture struct {
	Units []struct {
		Key        uint32 `json:"k"`
		Unit       string `json:"unit"`
		Born, Died int64  // ms since 1970
	} `json:"units"`
	Gone   []uint32      `json:"gone"`
	Alarms []alarm.Alarm `json:"alarms"`
}

func (p *page) take(name string, data []byte, at time.Time) error {
	if name != "snapshot" && name != "change" {
		return nil
	}
	var pic picture
	if err := json.Unmarshal(data, &pic); err != nil {
		return err
	}
	p.mu.Lock()
	for _, u := range pic.Units {
		p.units[u.Key] = u.Unit
		if u.Died != 0 {
			delete(p.onTest, u.Unit)
		} else {
			p.onTest[u.Unit] = time.UnixMilli(u.Born)
		}
	}
	for _, key := range pic.Gone {
		delete(p.onTest, p.units[key])
	}
	for _, a := range pic.Alarms {
		key := alarmKey{a.Rule, a.Unit}
		if _, seen := p.alarms[key]; !seen {
			p.alarms[key] = shownAlarm{a, at}
		}
	}
	p.mu.Unlock()
	if len(pic.Units)+len(pic.Gone)+len(pic.Alarms) > 0 {
		p.signal()
	}
	return nil
}

// births returns when each unit on test was born, or why the stream ended.
func (p *page) births() (map[string]time.Time, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.onTest), p.err
}

// shown returns the alarms as they were first shown, or why the stream ended.
func (p *page) shown() (map[alarmKey]shownAlarm, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.alarms), p.err
}
