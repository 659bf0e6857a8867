package sparkplug

import (
	"strings"

	"andon.internal/shared/telemetry"
)

// Names of the heartbeat's metrics.
const (
	metricRows     = "Andon/Buffer/Rows"
	metricRecords  = "Andon/Buffer/Records"
	metricBytes    = "Andon/Buffer/Bytes"
	metricOldest   = "Andon/Buffer/Oldest ms"
	metricLost     = "Andon/Buffer/Lost"
	metricDiskFree = "Andon/Disk Free"
	metricDisk     = "Andon/Disk Fault"
	metricClock    = "Andon/Clock"
	metricStops    = "Andon/Stops"
	metricRules    = "Andon/Rules"
)

// Heartbeat is a node's NDATA about itself, every 2 s. Its metrics are in the
// birth too.
type Heartbeat struct {
	Rows      uint64                // readings in the buffer
	Records   uint64                // records in the buffer
	Bytes     uint64                // of these records
	OldestMS  uint64                // age of the oldest of them
	DiskFree  uint64                // bytes free where the buffer lies
	DiskFault string                // what is wrong there; empty: nothing
	Clock     telemetry.TimeQuality // of the node's clock
	Stops     uint32                // active stops
	RulesHash string                // of the rules in force
	Lost      uint64                // readings lost in this epoch
}

// Append appends the NDATA to dst and returns it; ts is in ms.
func (h *Heartbeat) Append(dst []byte, ts uint64, seq uint8) []byte {
	p := Payload{Timestamp: ts, HasTimestamp: true, Seq: uint64(seq), HasSeq: true}
	p.Metrics = h.metrics(nil, false)
	p.stamp(ts)
	return p.Append(dst)
}

// metrics appends the heartbeat's metrics; only a birth names their datatypes.
func (h *Heartbeat) metrics(list []Metric, birth bool) []Metric {
	first := len(list)
	list = append(list,
		Metric{Name: metricRows, DataType: UInt64, Value: UlongValue(h.Rows)},
		Metric{Name: metricRecords, DataType: UInt64, Value: UlongValue(h.Records)},
		Metric{Name: metricBytes, DataType: UInt64, Value: UlongValue(h.Bytes)},
		Metric{Name: metricOldest, DataType: UInt64, Value: UlongValue(h.OldestMS)},
		Metric{Name: metricLost, DataType: UInt64, Value: UlongValue(h.Lost)},
		Metric{Name: metricDiskFree, DataType: UInt64, Value: UlongValue(h.DiskFree)},
		Metric{Name: metricDisk, DataType: String, Value: StringValue(h.DiskFault)},
		Metric{Name: metricClock, DataType: String, Value: StringValue(h.Clock.String())},
		Metric{Name: metricStops, DataType: UInt32, Value: UlongValue(uint64(h.Stops))},
		Metric{Name: metricRules, DataType: String, Value: StringValue(h.RulesHash)},
	)
	if !birth {
		for i := range list[first:] {
			list[first+i].DataType = Unknown
		}
	}
	return list
}

// ParseHeartbeat reads the heartbeat from an NDATA or NBIRTH. ok is false when
// the payload holds none.
func ParseHeartbeat(p *Payload) (h Heartbeat, ok bool) {
	for i := range p.Metrics {
		m := &p.Metrics[i]
		number, _ := m.Value.Uint64(UInt64)
		text, _ := m.Value.Text()
		switch m.Name {
		case metricRows:
			h.Rows, ok = number, true
		case metricRecords:
			h.Records = number
		case metricBytes:
			h.Bytes = number
		case metricOldest:
			h.OldestMS = number
		case metricLost:
			h.Lost = number
		case metricDiskFree:
			h.DiskFree = number
		case metricDisk:
			h.DiskFault = told(text)
		case metricClock:
			h.Clock = parseClock(text)
		case metricStops:
			h.Stops = uint32(min(number, 1<<32-1))
		case metricRules:
			h.RulesHash = told(text)
		}
	}
	return h, ok
}

// maxTold is how many bytes of a text that a node tells of itself are read: it is logged, kept
// and shown.
const maxTold = 1024

// told returns the text, or its beginning, which keeps no more in memory.
func told(text string) string {
	if len(text) <= maxTold {
		return text
	}
	return strings.ToValidUTF8(strings.Clone(text[:maxTold]), "")
}

// parseClock takes a state it does not know, perhaps a newer agent's, for an
// unsynced clock.
func parseClock(text string) telemetry.TimeQuality {
	for t := telemetry.TimeOK; t <= telemetry.TimeSource; t++ {
		if t.String() == text {
			return t
		}
	}
	return telemetry.TimeUnsynced
}
