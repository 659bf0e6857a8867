package factory

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"andon.internal/shared/ops"
)

// Fault is something that goes wrong with a simulated machine.
type Fault struct {
	Kind     string        `json:"kind"`               // such as "thermal-runaway"
	Duration time.Duration `json:"duration,omitempty"` // 0: for the rest of the unit's test
	Signal   string        `json:"signal,omitempty"`   // of a sensor's fault
}

// Inject gives a simulated machine a fault. unit is that of the unit on test, or its
// station's, such as dyno-03.
func (f *Factory) Inject(ctx context.Context, unit string, x Fault) error {
	return f.tellMachine(ctx, "inject", unit, map[string]any{
		"unit": unit, "fault": x.Kind, "seconds": x.Duration.Seconds(), "signal": x.Signal,
	})
}

// Drive lets a simulated machine run, or stops it, so that it runs down and cools.
// unit is as for Inject.
func (f *Factory) Drive(ctx context.Context, unit string, run bool) error {
	what := "stop"
	if run {
		what = "release"
	}
	return f.tellMachine(ctx, what, unit, map[string]any{"unit": unit})
}

// tellMachine finds the cell that has the unit on test and tells it.
func (f *Factory) tellMachine(ctx context.Context, what, unit string, body map[string]any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, unit, err)
	}
	silent := 0
	var why error
	for _, c := range f.opt.Cells {
		if c.Dynos.Stations == 0 {
			continue
		}
		switch code, answer, err := f.members[c.Name].post(ctx, "/simulated/"+what, b); {
		case err != nil:
			silent, why = silent+1, err
		case code == http.StatusNoContent:
			return nil
		case code != http.StatusNotFound:
			return fmt.Errorf("%s %s: %s", what, unit, strings.TrimSpace(string(answer)))
		}
	}
	if silent > 0 {
		return fmt.Errorf("%s %s: no cell that answers has it on test, and %d do not answer: %w", what, unit, silent, why)
	}
	return ops.Hint(fmt.Errorf("%s %s: no simulated cell has such a unit on test", what, unit),
		"name a unit as the pages show it, or its station, such as dyno-03; between two tests a station is empty for a moment")
}

func (m *member) post(ctx context.Context, path string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+m.http+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client(m.netns).Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	return res.StatusCode, answer, err
}
