package agent_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"andon.internal/agent"
	"andon.internal/agent/buffer"
)

// TestBufferFaults: /readyz and the heartbeat say each of them.
func TestBufferFaults(t *testing.T) {
	if err, _ := agent.BufferFaults(buffer.Stats{Overdue: 3 * time.Second}); err != nil {
		t.Errorf("a sound buffer has a fault: %v", err)
	}
	err, _ := agent.BufferFaults(buffer.Stats{
		WriteError: errors.New("no write"), SealError: errors.New("no sync"), ChainError: errors.New("no chain"), Unreadable: errors.New("no rights"), UnreadableRecords: 17,
	})
	for _, want := range []string{"no write", "no sync", "no chain", "17 records", "no rights"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q is not in one line of %v", want, err)
		}
	}
	told, waits := agent.BufferFaults(buffer.Stats{SealError: errors.New("no sync")})
	if told == nil || waits != nil {
		t.Errorf("of a disk that takes what comes again it says %v, and %v has a new configuration wait", told, waits)
	}
	if err, _ := agent.BufferFaults(buffer.Stats{Overdue: 6 * time.Second}); err == nil {
		t.Error("of a disk that is stuck nothing is told")
	}
	newer := fmt.Errorf("held: %w", buffer.ErrNewer)
	told, waits = agent.BufferFaults(buffer.Stats{Unreadable: newer, UnreadableRecords: 1})
	if told == nil || waits != nil {
		t.Errorf("of a record in a newer form it says %v, and %v has a new configuration wait", told, waits)
	}
}
