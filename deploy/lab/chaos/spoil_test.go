package chaos_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"andon.internal/lab/chaos"
)

// TestDamageStrikesWhatIsThere: a file that has grown beyond what it holds is damaged where it
// holds something, every time.
func TestDamageStrikesWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.db")
	before := append(bytes.Repeat([]byte("reading "), 20*4096/8), make([]byte, 500*4096)...)
	for seed := range uint64(60) {
		if err := os.WriteFile(path, before, 0o600); err != nil {
			t.Fatal(err)
		}
		did, err := chaos.Spoil(path, rand.New(rand.NewPCG(seed, 1)))
		if err != nil || did == "" {
			t.Fatalf("seed %d: %q, %v", seed, did, err)
		}
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := 20 * 4096; bytes.Equal(after[:min(n, len(after))], before[:n]) {
			t.Errorf("seed %d: %s, and all that the file held is there", seed, did)
		}
	}
	if err := os.WriteFile(path, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	if did, err := chaos.Spoil(path, rand.New(rand.NewPCG(1, 1))); err != nil || did != "" {
		t.Errorf("a file that holds nothing: %q, %v", did, err)
	}
}
