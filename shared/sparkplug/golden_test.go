package sparkplug_test

import (
	"testing"

	"andon.internal/shared/sparkplug"
)

// TestGolden pins every message that Andon sends, byte for byte: buffers, agents
// and collectors of different versions meet on the wire.
func TestGolden(t *testing.T) {
	record, header := sampleRecord(), sampleHeader()
	moved := header
	moved.Moved = true
	heartbeat := sampleHeartbeat()
	tests := []struct {
		name    string
		message []byte
	}{
		{"nbirth", sampleNodeBirth().Append(nil)},
		{"dbirth", sampleUnitBirth().Append(nil, 9)},
		{"ndeath", sparkplug.AppendNodeDeath(nil, now, 200)},
		{"ddeath", sparkplug.AppendUnitDeath(nil, now, 255)},
		{"heartbeat", heartbeat.Append(nil, now, 10)},
		{"record-live", sparkplug.AppendRecord(nil, header, record, 300, now, 11, false)},
		{"record-historical", sparkplug.AppendRecord(nil, header, record, 1<<20, now, 12, true)},
		{"record-moved", sparkplug.AppendRecord(nil, moved, record, 300, now, 11, true)},
		{"loss-moved", sparkplug.AppendLoss(nil, moved, sampleLoss(), now, 13)},
		{"loss", sparkplug.AppendLoss(nil, header, sampleLoss(), now, 13)},
		{"rebirth", sparkplug.AppendRebirth(nil, now)},
		{"ack", sparkplug.AppendAck(nil, now, sampleAck())},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			golden(t, tt.name+".bin", tt.message)
			golden(t, tt.name+".txt", goldenText(t, tt.message))
		})
	}
	golden(t, "state.json", sparkplug.State{Online: true, Timestamp: now}.Append(nil))
}
