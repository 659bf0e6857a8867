package factory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"andon.internal/lab/process"
	"andon.internal/shared/netns"
)

// client speaks to the HTTP servers of processes in a network namespace; it keeps no
// connection, so that a killed process leaves none behind.
func client(namespace string) *http.Client {
	return &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: netns.Dialer(namespace)},
	}
}

// awaitReady waits until all of the daemons answer that they are ready. It gives up
// at once when one of them has exited.
func (f *Factory) awaitReady(ctx context.Context, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, f.opt.ReadyWithin)
	defer cancel()
	for _, name := range names {
		m := f.members[name]
		begun := m.Status()
		for {
			var reason error
			if m.mqtt != "" {
				reason = askDoor(ctx, m.mqtt)
			} else {
				reason = askReady(ctx, m)
			}
			if reason == nil {
				break
			}
			if now := m.Status(); now.State != process.Running || now.Starts != begun.Starts {
				return fmt.Errorf("start %s: it exited:\n%s", name, process.Tail(m.log, 5))
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("start %s: not ready within %v: %w\n%s", name, f.opt.ReadyWithin, reason, process.Tail(m.log, 5))
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

// askReady returns why a daemon is not ready, or nil.
func askReady(ctx context.Context, m *member) error {
	code, body, err := m.get(ctx, "/readyz")
	if err != nil {
		return err
	}
	if code == http.StatusOK {
		return nil
	}
	var answer struct {
		Checks []struct {
			Name   string
			OK     bool
			Reason string
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("readyz answers %d", code)
	}
	var reasons []string
	for _, c := range answer.Checks {
		if !c.OK {
			reasons = append(reasons, c.Name+": "+c.Reason)
		}
	}
	return errors.New(strings.Join(reasons, "; "))
}

func (m *member) get(ctx context.Context, path string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.http+path, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := client(m.netns).Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	return res.StatusCode, body, err
}

// Metrics returns what a daemon's /metrics holds: the value of each series by its
// name with labels as they are written, and the sum over the labels by its bare name.
func (f *Factory) Metrics(ctx context.Context, name string) (map[string]float64, error) {
	m, err := f.member(name)
	if err != nil {
		return nil, err
	}
	code, body, err := m.get(ctx, "/metrics")
	if err != nil {
		return nil, fmt.Errorf("read metrics of %s: %w", name, err)
	}
	if code != http.StatusOK {
		return nil, fmt.Errorf("read metrics of %s: status %d", name, code)
	}
	return parseMetrics(string(body)), nil
}

// bufferedRows is the agent's gauge of readings that are not yet acknowledged.
const bufferedRows = "andon_buffer_rows"

// Buffered returns how many readings a cell holds that are not yet acknowledged.
func (f *Factory) Buffered(ctx context.Context, cell string) (uint64, error) {
	m, err := f.Metrics(ctx, cell)
	if err != nil {
		return 0, err
	}
	rows, ok := m[bufferedRows]
	if !ok {
		return 0, fmt.Errorf("metrics of %s lack %s", cell, bufferedRows)
	}
	return uint64(rows), nil
}
