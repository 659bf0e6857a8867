package buffer_test

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// slowLog is a log that takes its time for one line, and notes when it has that.
func slowLog(message string) (*slog.Logger, *atomic.Bool) {
	var has atomic.Bool
	return slog.New(handler(func(r slog.Record) {
		if r.Message == message {
			time.Sleep(500 * time.Millisecond)
			has.Store(true)
		}
	})), &has
}

// TestNoLineComesLater: all that was to be logged is, when Close returns, also what a folder that
// was taken into use had to say, and when an Open returns that fails.
func TestNoLineComesLater(t *testing.T) {
	t.Run("attach", func(t *testing.T) {
		o, _ := filled(t, 60, 10_000)
		rewrite(t, recordFiles(t, o.Dir)[0], zero)
		var has *atomic.Bool
		o.Logger, has = slowLog("readings are lost")
		b, err := buffer.OpenDetached(o, errNoDisk)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(b.Attach(), b.Close()); err != nil || !has.Load() {
			t.Errorf("the line has come: %v; %v", has.Load(), err)
		}
	})
	t.Run("open", func(t *testing.T) {
		o, _, path := crashed(t)
		rewrite(t, path, zero)
		var restore func()
		o.SetStep(func(name string) error {
			if name == "salvage" {
				restore = chainBreaks(t, o.Dir)
			}
			return nil
		})
		var has *atomic.Bool
		o.Logger, has = slowLog("cannot write the chain of epochs")
		_, err := buffer.Open(o)
		restore()
		if err == nil || !has.Load() {
			t.Errorf("the line has come: %v; %v", has.Load(), err)
		}
	})
}
