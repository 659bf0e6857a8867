package buffer_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

// TestChainFileThatCannotBeClosed: where a page that the disk does not read keeps bbolt from
// beginning a transaction, or undoing it, its lock is held for ever. Another file takes its place.
func TestChainFileThatCannotBeClosed(t *testing.T) {
	o := small(t.TempDir())
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(o.Dir, "chain.db"), 0); err != nil {
		t.Fatal(err)
	}
	appendAt(t, b, 0, items(0), nil)
	within(t, "it is told", func() bool { return b.Stats().ChainError != nil })
	within(t, "there is a new one", func() bool { return b.Stats().ChainError == nil })
	closeChecked(t, b)
	wantIDs(t, open(t, o), 0, 1)
}

// TestRecordFileThatCannotBeClosed: the same of a record file. What comes is in the next one.
func TestRecordFileThatCannotBeClosed(t *testing.T) {
	o := small(t.TempDir())
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	appendAt(t, b, 0, items(0), nil)
	written(t, b)
	if err := os.Truncate(buffer.ActivePath(b), 0); err != nil {
		t.Fatal(err)
	}
	appendAt(t, b, 1, items(1), nil)
	written(t, b)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// atOnce fails the test where do waits for a lock that nobody gives back.
func atOnce(t *testing.T, what string, do func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("it hangs: %s", what)
	}
}

// TestOpenFilesThatAReadFindsBroken: where a fault keeps bbolt from beginning a transaction that
// reads, its lock is held for ever too. The file is set aside, whether it is written or not, and
// nobody waits for it.
func TestOpenFilesThatAReadFindsBroken(t *testing.T) {
	for name, read := range map[string]func(b *buffer.Buffer) error{
		"Next": func(b *buffer.Buffer) error { _, _, err := b.Next(buffer.Backlog, nil); return err },
		"Peek": func(b *buffer.Buffer) error { return b.Peek(t.Context(), func(buffer.Found) error { return nil }) },
	} {
		t.Run(name, func(t *testing.T) { readsBroken(t, read) })
	}
}

func readsBroken(t *testing.T, read func(b *buffer.Buffer) error) {
	o, _ := filled(t, 60, 10_000)
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := b.Next(buffer.Backlog, nil); !ok || err != nil {
		t.Fatal(ok, err)
	}
	files := recordFiles(t, o.Dir)
	active := buffer.ActivePath(b)
	for _, path := range []string{files[0], active} {
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
	}
	atOnce(t, "the first to read", func() error { return read(b) })
	atOnce(t, "Append", func() error { _, err := b.Append(items(60), nil); return err })
	written(t, b)
	var lost ranges.Set
	atOnce(t, "Next", func() error {
		got, err := givenOut(t, b)
		lost = set(0, 61)
		lost.RemoveSet(got)
		return err
	})
	if n := b.Stats().LostRecords; n != lost.Len() || n == 0 || n == 60 || lost.Contains(60) {
		t.Errorf("%v is not given out; %d are told lost", lost, n)
	}
	for _, path := range files {
		aside, _ := filepath.Glob(strings.TrimSuffix(path, ".db") + ".*damaged-*")
		if want := path == files[0] || path == active; (len(aside) == 1) != want {
			t.Errorf("%s was set aside: %v", path, aside)
		}
	}
	atOnce(t, "Close", b.Close)
}

// TestLockedFile: a sound file that a write left locked is passed over without a wait for its
// lock, the cure is told, and the next start reads it.
func TestLockedFile(t *testing.T) {
	o, _ := filled(t, 60, 10_000)
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	path := buffer.ActivePath(b)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	appendAt(t, b, 0, items(60), nil)
	written(t, b)
	if err := os.WriteFile(strings.TrimSuffix(path, ".db")+".sealed.db", content, 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	got, end := givenOut(t, b)
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	if got.Contains(59) || !got.Contains(60) || !errors.Is(end, buffer.ErrUnreadable) || !strings.Contains(end.Error(), "start the agent again") {
		t.Errorf("%v is given out, and then %v", got, end)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	dir := filepath.Join(t.TempDir(), "copy") // this process holds the lock
	if err := image(o.Dir, dir); err != nil {
		t.Fatal(err)
	}
	o.Dir = dir
	wantIDs(t, open(t, o), 0, 61)
}
