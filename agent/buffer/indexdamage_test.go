package buffer_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"andon.internal/agent/buffer"
	"andon.internal/agent/buffer/internal/format"
)

// TestDamagedIndex: where the records of a file are whole, and what leads to them is not, all
// of them come back, under their own names.
func TestDamagedIndex(t *testing.T) {
	for name, tc := range map[string]struct {
		records, size int
		damage        func(t *testing.T, path string, data []byte)
	}{
		// One bit: the count of the buckets is 0 instead of 4, as in a file that is new.
		"a root without buckets": {12, 10_000, func(t *testing.T, path string, data []byte) {
			count := data[rootOf(t, path)*4096+10:]
			if count[0] != 4 {
				t.Fatalf("the root has %d buckets", count[0])
			}
			count[0] = 0
		}},
		// The second page of the index seems to begin behind all of its records.
		"the key of a branch": {100, 100, func(t *testing.T, _ string, data []byte) {
			for page := range slices.Chunk(data, 4096) {
				if n := binary.NativeEndian.Uint16(page[10:]); binary.NativeEndian.Uint16(page[8:]) == format.BranchFlag && n > 1 {
					at := format.PageHead + format.BranchEntry
					key := page[at+int(binary.NativeEndian.Uint32(page[at:])):]
					key[0] ^= 0x80
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := filled(t, tc.records, tc.size)
			paths := recordFiles(t, o.Dir)
			if len(paths) != 1 {
				t.Fatalf("files: %v", paths)
			}
			rewrite(t, paths[0], func(data []byte) { tc.damage(t, paths[0], data) })
			b := open(t, o)
			there := 0
			for _, s := range all(t, b, buffer.Backlog) {
				if id, ok := idOf(s.Data); ok && uint64(id) == s.Position {
					there++
				}
			}
			if there != tc.records {
				t.Errorf("%d records are there, want %d", there, tc.records)
			}
			if aside, _ := filepath.Glob(paths[0] + ".damaged-*"); len(aside) != 1 {
				t.Errorf("set aside: %v", aside)
			}
		})
	}
}

// rootOf returns the page of the newest root.
func rootOf(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := format.ReadMeta(f)
	if err != nil {
		t.Fatal(err)
	}
	return int(m.Root)
}
