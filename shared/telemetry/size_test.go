package telemetry_test

import (
	"math"
	"runtime"
	"strings"
	"testing"

	"andon.internal/shared/telemetry"
)

type sized interface{ Size() int64 }

// kept keeps what is measured on the heap.
var kept sized

// allocatedBy is how many bytes build allocates, whatever else goes on.
func allocatedBy(build func() sized) int64 {
	least := int64(math.MaxInt64)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		kept = build()
		runtime.ReadMemStats(&after)
		least = min(least, int64(after.TotalAlloc-before.TotalAlloc))
	}
	return least
}

func TestSizeIsWhatIsAllocated(t *testing.T) {
	record := func(rows, signals int) func() sized {
		return func() sized {
			return &telemetry.Record{
				Unit: strings.Clone("press-1"), End: &telemetry.End{Reason: strings.Clone("finished")},
				Times: make([]int64, rows), Qualities: make([]telemetry.Quality, rows),
				Values: make([]telemetry.Value, rows*signals),
			}
		}
	}
	loss := func(units int) func() sized {
		return func() sized {
			l := &telemetry.Loss{Units: make([]string, units)}
			for i := range l.Units {
				l.Units[i] = strings.Clone("press-1234567890")
			}
			return l
		}
	}
	for name, build := range map[string]func() sized{
		"one row":         record(1, 24),
		"many rows":       record(100, 24),
		"above a class":   record(1, 2049/16),
		"above 32 KiB":    record(9, 229),
		"the largest":     record(telemetry.MaxRows, 256),
		"loss of a unit":  loss(1),
		"loss of a plant": loss(4096),
	} {
		t.Run(name, func(t *testing.T) {
			size, got := build().Size(), allocatedBy(build)
			if size < got-128 || size > got+got/4+128 {
				t.Errorf("size is %d, and %d bytes are allocated", size, got)
			}
		})
	}
}
