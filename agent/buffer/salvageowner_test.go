package buffer_test

import (
	"os"
	"path/filepath"
	"testing"

	"andon.internal/agent/buffer"
)

// TestSalvagedWithoutChain: where the chain file is gone, a damaged file is no other
// buffer's: it is salvaged, and what came of it is this buffer's at the next start too.
func TestSalvagedWithoutChain(t *testing.T) {
	for name, damage := range map[string]func(data []byte){
		"signed":   breakFreeList,
		"unsigned": func(data []byte) { clear(data[:2*4096]); noOwner(data) },
	} {
		t.Run(name, func(t *testing.T) {
			o, epoch := filled(t, 12, 10_000)
			path := recordFiles(t, o.Dir)[0]
			rewrite(t, path, damage)
			if err := os.Remove(filepath.Join(o.Dir, "chain.db")); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				b := open(t, o)
				there := 0
				for _, s := range all(t, b, buffer.Backlog) {
					if id, ok := idOf(s.Data); ok && s.Epoch == epoch && uint64(id) == s.Position {
						there++
					}
				}
				if there != 12 {
					t.Errorf("%d records are there, want 12", there)
				}
				closeChecked(t, b)
			}
			if aside, _ := filepath.Glob(filepath.Join(o.Dir, "*.damaged-*")); len(aside) != 1 {
				t.Errorf("set aside: %v", aside)
			}
		})
	}
}

// noOwner takes whose the file is out of all its pages.
func noOwner(data []byte) {
	for at := 2 * 4096; at < len(data); at += 4096 {
		for i := at; i+6 < min(at+4096, len(data)); i++ {
			if string(data[i:i+6]) == "buffer" {
				clear(data[i : i+6])
			}
		}
	}
}
