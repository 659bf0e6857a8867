package buffer_test

import (
	"os"
	"path/filepath"
	"testing"

	"andon.internal/agent/buffer"
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
