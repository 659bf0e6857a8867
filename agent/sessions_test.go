package agent_test

import (
	"os"
	"path/filepath"
	"testing"

	"andon.internal/agent"
	"andon.internal/agent/state"
)

// TestACopyHasSessionsOfItsOwn: a copy of the state counts on as the original does, and names
// none of its sessions as that does.
func TestACopyHasSessionsOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	next := func(name string) (n []uint64) {
		s, err := state.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for range 3 {
			number, err := agent.Sessions(s).Next("session")
			if err != nil {
				t.Fatal(err)
			}
			n = append(n, number)
		}
		return n
	}
	next("first")
	card, err := os.ReadFile(filepath.Join(dir, "first"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "second"), card, 0o600); err != nil {
		t.Fatal(err)
	}
	first, second := next("first"), next("second")
	for i := range first {
		if count := uint64(4 + i); uint32(first[i]) != uint32(count) || uint32(second[i]) != uint32(count) || first[i] == second[i] {
			t.Errorf("connection %d is named %x and %x", count, first[i], second[i])
		}
	}
}
