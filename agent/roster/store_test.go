package roster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent/roster"
	"andon.internal/agent/state"
)

// faulty is the real store with a switch.
type faulty struct {
	*state.Store
	mu     sync.Mutex
	broken bool
	puts   int
	notes  int
}

func (f *faulty) Put(bucket, key string, value []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken {
		return errors.New("disk is gone")
	}
	f.puts++
	return f.Store.Put(bucket, key, value)
}

func (f *faulty) Note(bucket, key string, value []byte) error {
	err := f.Put(bucket, key, value)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.puts, f.notes = f.puts-1, f.notes+1
	return err
}

func (f *faulty) set(broken bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = broken
}

// TestStoreFails checks that a dead disk does not hold units back, and that what it
// missed is stored once it is back.
func TestStoreFails(t *testing.T) {
	dir := t.TempDir()
	kv := &faulty{Store: store(t, dir), broken: true}
	var log bytes.Buffer
	r, err := roster.Open(kv, roster.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Births("s", run("a", 1, 0), run("b", 1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := r.Deaths("s", "b"); err != nil {
		t.Fatal(err)
	}
	if got := brief(r.Active()); got != "a/1/0" || r.Profile(dyno().Fingerprint()) == nil {
		t.Errorf("on test while the disk is gone: %q", got)
	}
	if err := r.Save(); err == nil || strings.Count(log.String(), "in memory only") != 1 {
		t.Errorf("save gave %v, the log is\n%s", err, &log)
	}
	kv.set(false)
	if err := r.Save(); err != nil {
		t.Fatal(err)
	}
	kv.Close()
	r = open(t, store(t, dir))
	if got := brief(r.Active()); got != "a/1/0" || r.Profile(dyno().Fingerprint()) == nil {
		t.Errorf("on test after the disk came back: %q", got)
	}
}

// TestRun checks that counts are noted from time to time and made durable at the end, and
// that nothing is written when nothing has changed.
func TestRun(t *testing.T) {
	kv := &faulty{Store: store(t, t.TempDir())}
	synctest.Test(t, func(t *testing.T) {
		r, err := roster.Open(kv, roster.Options{SaveEvery: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Births("s", run("a", 1, 0)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		kv.puts = 0
		step := func(want int) {
			t.Helper()
			time.Sleep(11 * time.Second)
			synctest.Wait()
			if kv.puts != 0 || kv.notes != want {
				t.Errorf("%d writes and %d notes, want 0 and %d", kv.puts, kv.notes, want)
			}
		}
		step(0)
		r.Took("a", 1, 1, nil)
		step(1)
		step(1)
		r.Took("a", 2, 2, nil)
		cancel()
		if err := <-done; err != nil || kv.puts != 1 || kv.notes != 1 {
			t.Errorf("the end gave %v, %d writes and %d notes, want one of each", err, kv.puts, kv.notes)
		}
	})
}

// TestDamagedDocuments checks that the roster opens with what is left.
func TestDamagedDocuments(t *testing.T) {
	fp := fmt.Sprintf("%016x", dyno().Fingerprint())
	tests := map[string]struct {
		bucket, key, value string
		want               string // on test
		log                string
	}{
		"runs are no JSON":         {"runs", "s", "{", "", "stored document is damaged"},
		"runs of a later version":  {"runs", "s", `{"version":2}`, "", "unknown version"},
		"a run of a lost profile":  {"runs", "s", `{"version":1,"runs":[{"unit":"z","born":1,"profile":"00"}]}`, "", "stored unit is not usable"},
		"a malformed unit":         {"runs", "s", `{"version":1,"runs":[{"unit":"/","born":1,"profile":"` + fp + `"}]}`, "", "stored unit is not usable"},
		"profile is no JSON":       {"profiles", fp, "x", "", "stored document is damaged"},
		"profile of another print": {"profiles", fp, `{"version":1,"name":"p","profile_version":1,"signals":[{"name":"x","type":"double"}]}`, "", "stored profile is not usable"},
		"profile of unknown type":  {"profiles", fp, `{"version":1,"name":"p","profile_version":1,"signals":[{"name":"x","type":"text"}]}`, "", "stored profile is not usable"},
		"list of profiles":         {"roster", "profiles", "7", "", "stored document is damaged"},
		"list of sources":          {"roster", "sources", "7", "", "stored document is damaged"},
		"nothing":                  {"roster", "unused", "7", "a/1/0", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			kv := store(t, t.TempDir())
			if err := open(t, kv).Births("s", run("a", 1, 0)); err != nil {
				t.Fatal(err)
			}
			if err := kv.Put(tc.bucket, tc.key, []byte(tc.value)); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			r, err := roster.Open(kv, roster.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			if got := brief(r.Active()); got != tc.want || !strings.Contains(log.String(), tc.log) {
				t.Errorf("on test %q, want %q; log:\n%s", got, tc.want, &log)
			}
			if err := r.Births("s", run("a", 2, 0)); err != nil {
				t.Errorf("a birth after the damage: %v", err)
			}
		})
	}
}

func TestStoreDoesNotOpen(t *testing.T) {
	kv := store(t, t.TempDir())
	kv.Close()
	if _, err := roster.Open(kv, roster.Options{}); !errors.Is(err, state.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}
