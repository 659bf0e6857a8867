package buffer_test

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/buffer"
)

// TestAStuckLogHoldsUpNothing: while whoever reads the log does not, what is full, lost and
// written again is noted, and no Append waits; beyond a bound it is counted only. When the log
// is read again it has the rest, in order.
func TestAStuckLogHoldsUpNothing(t *testing.T) {
	reg := prometheus.NewRegistry()
	o := policyOptions(t, buffer.DropOldest)
	o.Metrics = buffer.NewMetrics(reg)
	var said []string // by the one goroutine that logs, read when the buffer is closed
	read := make(chan struct{})
	o.Logger = slog.New(handler(func(r slog.Record) {
		<-read
		said = append(said, r.Message)
	}))
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	goOn := sync.OnceFunc(func() { close(read) })
	defer goOn()
	var poured atomic.Int64
	go func() {
		for poured.Load() < 600 { // of which some 280 find room
			if _, err := b.Append(one(int(poured.Add(1))), nil); err != nil {
				t.Error(err)
			}
		}
		poured.Add(1)
	}()
	within(t, "no Append waits for the log", func() bool { return poured.Load() > 600 })
	written(t, b)
	for n := range 300 {
		buffer.SayLate(b, fmt.Sprint("line ", n))
	}
	goOn()
	closeChecked(t, b)
	lines := 0
	for _, message := range said {
		if message == fmt.Sprint("line ", lines) {
			lines++
		}
	}
	dropped := counters(t, reg)["andon_buffer_unlogged_lines_total"]
	if len(said) < 256 || float64(lines)+dropped < 300 {
		t.Errorf("%d lines are logged, %d of them of the last 300, and %v are dropped", len(said), lines, dropped)
	}
}
