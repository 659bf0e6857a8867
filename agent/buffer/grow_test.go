package buffer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"andon.internal/agent/buffer"
)

// TestFilesGrowInFewSteps: each growth of a file is a sync more, and each new map a copy of
// what the transaction holds. So a file is mapped whole from the start and grows by a quarter
// of its size, and stays within that.
func TestFilesGrowInFewSteps(t *testing.T) {
	o := small(t.TempDir())
	o.RotateBytes, o.MaxDisk, o.MaxMemory = 8<<20, 64<<20, 4<<20
	b := open(t, o)
	lengths, maps, path := map[int64]bool{}, map[int64]bool{}, ""
	for i := range 60 {
		batch := make([]buffer.Item, 10)
		for j := range batch {
			batch[j] = buffer.Item{Data: payload(10*i+j, 15_000)}
		}
		if _, err := b.Append(batch, nil); err != nil {
			t.Fatal(err)
		}
		written(t, b)
		files, err := filepath.Glob(filepath.Join(o.Dir, "0*.db"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no record file: %v", err)
		}
		if path == "" {
			path = files[0]
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if lengths[info.Size()] = true; info.Size() > o.RotateBytes {
			t.Errorf("a file of %d bytes, the limit is %d", info.Size(), o.RotateBytes)
		}
		if n := mappedOf(t, path); n > 0 {
			maps[n] = true
		}
	}
	if len(lengths) > 6 || len(maps) != 1 {
		t.Errorf("lengths %v, maps %v", lengths, maps)
	}
}

// mappedOf returns how much of a file this process has mapped.
func mappedOf(t *testing.T, path string) (n int64) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		if !strings.Contains(line, filepath.Base(path)) {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			t.Fatal(err)
		}
		n += to - from
	}
	return n
}
