package buffer_test

import (
	"os"
	"path/filepath"
	"testing"

	"andon.internal/agent/buffer"
)

// FuzzFolder reads a folder whose files are anything: it must end without a panic, and
// what it gives as sound must be so.
func FuzzFolder(f *testing.F) {
	dir := f.TempDir()
	b, err := buffer.Open(small(dir))
	if err != nil {
		f.Fatal(err)
	}
	for i := range 5 {
		appendAt(f, b, uint64(i), []buffer.Item{{Data: payload(i, 300*i*i+50), Rows: 1}}, nil)
	}
	written(f, b)
	if err := b.Close(); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(recordFiles(f, dir)[0])
	if err != nil {
		f.Fatal(err)
	}
	chain, err := os.ReadFile(filepath.Join(dir, "chain.db"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, chain)
	f.Add(chain, good)
	f.Add([]byte{}, []byte("chain"))
	f.Fuzz(func(t *testing.T, file, chain []byte) {
		dir := t.TempDir()
		for name, content := range map[string][]byte{"01JBQS0000000000000000000Z.db": file, "chain.db": chain} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		folder := readable(t, dir)
		records, _ := found(t, folder)
		for _, r := range records {
			again, err := buffer.ParseStored(buffer.AppendStored(nil, &r.Stored))
			if err != nil || again.Key != r.Key || again.Rows != r.Rows {
				t.Errorf("%v reads as %v, %v", r.Stored, again, err)
			}
		}
		if _, err := folder.Inventory(); err != nil {
			t.Error(err)
		}
	})
}
