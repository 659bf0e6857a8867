package buffer_test

import (
	"path/filepath"
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

func TestAck(t *testing.T) {
	for name, c := range map[string]struct {
		acks []ranges.Set
		want string
	}{
		"none":        {nil, "0:0 1:1 2:2 3:3 4:4 5:5"},
		"last first":  {[]ranges.Set{set(5, 6), set(0, 1)}, "1:1 2:2 3:3 4:4"},
		"repeated":    {[]ranges.Set{set(1, 3), set(1, 3)}, "0:0 3:3 4:4 5:5"},
		"overlapping": {[]ranges.Set{set(1, 3), set(2, 5)}, "0:0 5:5"},
		"unknown":     {[]ranges.Set{set(6, 1<<62), set(100, 101)}, "0:0 1:1 2:2 3:3 4:4 5:5"},
		"holes":       {[]ranges.Set{ranges.Of(ranges.Range{From: 0, To: 1}, ranges.Range{From: 2, To: 3}, ranges.Range{From: 4, To: 9})}, "1:1 3:3"},
		"all":         {[]ranges.Set{set(0, 1<<62)}, ""},
	} {
		for _, when := range []string{"in memory", "on disk", "after a restart"} {
			t.Run(name+" "+when, func(t *testing.T) {
				dir := t.TempDir()
				o := small(dir)
				if when == "in memory" {
					o.Linger = time.Hour
				}
				b := open(t, o)
				appendAt(t, b, 0, items(0, 1, 2, 3, 4, 5), nil)
				epoch := b.Epoch()
				if when != "in memory" {
					written(t, b)
				}
				if when == "after a restart" {
					closeChecked(t, b)
					b = open(t, o)
				}
				for _, s := range c.acks {
					if err := b.Ack(epoch, s); err != nil {
						t.Fatal(err)
					}
					if err := b.Ack(buffer.Epoch{9}, s); err != nil {
						t.Errorf("an epoch that is not known: %v", err)
					}
				}
				wantLane(t, b, buffer.Backlog, c.want)
				closeChecked(t, b)
				b = open(t, o)
				wantLane(t, b, buffer.Backlog, c.want)
			})
		}
	}
}

// TestDeletesReachTheDisk: within a second, without a Close.
func TestDeletesReachTheDisk(t *testing.T) {
	dir := t.TempDir()
	b := open(t, small(dir))
	appendAt(t, b, 0, items(0, 1, 2, 3), nil)
	written(t, b)
	_ = b.Ack(b.Epoch(), set(0, 3))
	within(t, "the deletes are on disk", func() bool {
		to := filepath.Join(t.TempDir(), "image")
		if err := image(dir, to); err != nil {
			t.Fatal(err)
		}
		c, err := buffer.Open(small(to))
		if err != nil {
			return false // copied while it was being written
		}
		defer c.Close()
		return c.Stats().Records == 1
	})
}

func TestEmptyFilesAreUnlinked(t *testing.T) {
	dir := t.TempDir()
	b := open(t, small(dir))
	for i := range 400 {
		appendAt(t, b, uint64(i), []buffer.Item{{Data: payload(i, 10_000), Rows: 1}}, nil)
		if i%20 == 0 {
			written(t, b)
		}
	}
	written(t, b)
	if n := len(recordFiles(t, dir)); n < 4 {
		t.Fatalf("4 MB in files of 1 MB made %d files", n)
	}
	wantIDs(t, b, 0, 400)
	if n := buffer.Mapped(b); n > 3 {
		t.Errorf("%d files are mapped, want at most 3", n)
	}
	_ = b.Ack(b.Epoch(), set(0, 399))
	within(t, "files are unlinked", func() bool { return b.Stats().Files == 1 && len(recordFiles(t, dir)) == 1 })
	wantLane(t, b, buffer.Backlog, "399:399")
}
