package lab_test

import (
	"encoding/json"
	"os"
	"testing"

	"andon.internal/lab/bench"
)

// The short form of the benchmark of the buffer: the agent's figures come through, and
// nothing is left on the disk. How fast is for make bench to say.
func TestBenchBuffer(t *testing.T) {
	t.Parallel()
	dir, disk := place(t), t.TempDir()
	var r bench.BufferReport
	if err := json.Unmarshal([]byte(mustLab(t, dir, "bench", "buffer", "--short", "--json", "--dir", disk)), &r); err != nil {
		t.Fatal(err)
	}
	var figures struct {
		Speeds, Wears []json.RawMessage
	}
	if err := json.Unmarshal(r.Figures, &figures); err != nil || len(figures.Speeds) != 6 || len(figures.Wears) != 8 || r.Disk == "" || r.Machine.Cores == 0 {
		t.Errorf("%v: %+v", err, r)
	}
	if left, err := os.ReadDir(disk); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
