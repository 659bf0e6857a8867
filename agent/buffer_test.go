package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"andon.internal/agent"
	"andon.internal/shared/config"
)

// TestTheSmallestBuffer: what the configuration takes, the buffer takes.
func TestTheSmallestBuffer(t *testing.T) {
	cfg := cellConfig(t, freeAddress(t), csvOf(20, 100))
	cfg.Buffer.MaxDisk, cfg.Buffer.MaxMemory = agent.MinDisk, agent.MinMemory
	a := start(t, cfg)
	eventually(t, "all is buffered", func() bool { return a.metric("andon_buffer_rows") == "2000" })
	a.stop()
	for name, limit := range map[string]*config.Size{"max_disk": &cfg.Buffer.MaxDisk, "max_memory": &cfg.Buffer.MaxMemory} {
		*limit--
		if _, err := agent.New(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a byte less of %s: %v", name, err)
		}
		*limit++
	}
}

// TestHintsForTheDataFolder: what another version wrote is not touched, and is no matter of
// permission.
func TestHintsForTheDataFolder(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, data string)
		hint  string
	}{
		"a newer format": {func(t *testing.T, data string) {
			dir := filepath.Join(data, "buffer")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			newer(t, filepath.Join(dir, "01JBQS0000000000000000000Z.db"))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := cellConfig(t, freeAddress(t), csvOf(1, 1))
			tc.spoil(t, string(cfg.Data))
			a, err := agent.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			err = a.Open()
			var hint interface{ Hint() string }
			got := ""
			if err == nil {
				t.Fatal("it opens")
			} else if asHint(err, &hint) {
				got = hint.Hint()
			}
			if (got == "") != (tc.hint == "") || !strings.Contains(got, tc.hint) {
				t.Errorf("the hint of %v is %q, want %q", err, got, tc.hint)
			}
		})
	}
}

// newer makes a record file in a format of the future.
func newer(t *testing.T, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("file"))
		if err != nil {
			return err
		}
		return b.Put([]byte("format"), []byte{200})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
