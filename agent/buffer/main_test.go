package buffer_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && strings.HasPrefix(os.Args[1], "child-") {
		os.Exit(child(os.Args[1]))
	}
	goleak.VerifyTestMain(m)
}

// child is what this program does where a buffer under test started it.
func child(name string) int {
	switch name {
	case "child-hang":
		time.Sleep(time.Hour)
	case "child-usage": // another program under that name
		fmt.Fprintln(os.Stderr, "unknown command")
		return 2
	case "child-cut": // its answer
		return 0
	case "child-files": // it can open none
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: 3}); err != nil {
			panic(err)
		}
	case "child-killed":
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			panic(err)
		}
	case "child-panic":
		done := make(chan struct{})
		go func() { panic("in a goroutine of its own") }()
		<-done
	}
	if err := buffer.Child(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if score, err := os.ReadFile("/proc/self/oom_score_adj"); name == "child-score" && string(score) != "1000\n" {
		fmt.Fprintf(os.Stderr, "oom_score_adj is %s, %v\n", score, err)
		return 1
	}
	return 0
}

// childCommand makes this program the child of a buffer under test.
func childCommand(name string) []string { return []string{os.Args[0], name} }

// open opens a buffer; the end of the test checks its consistency and closes it.
func open(t testing.TB, o buffer.Options) *buffer.Buffer {
	t.Helper()
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeChecked(t, b) })
	return b
}

// closeChecked checks the buffer, if it is open, and closes it.
func closeChecked(t testing.TB, b *buffer.Buffer) {
	t.Helper()
	if _, _, err := b.Next(buffer.Backlog, nil); !errors.Is(err, buffer.ErrClosed) {
		if err := buffer.Check(b); err != nil {
			t.Errorf("consistency: %v", err)
		}
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// small are options with which files rotate soon.
func small(dir string) buffer.Options {
	return buffer.Options{
		Dir: dir, Linger: 2 * time.Millisecond, AlarmLinger: time.Millisecond,
		MaxRecord: 16 << 10, RotateBytes: 1 << 20, MaxDisk: 64 << 20, MaxMemory: 1 << 20,
		Child: childCommand("child-check"),
	}
}

// payload is content that names itself and cannot be compressed.
func payload(id, size int) []byte {
	b := fmt.Appendf(nil, "record %d ", id)
	rng := rand.New(rand.NewPCG(uint64(id), 1))
	for len(b) < size {
		b = append(b, byte(rng.Uint32()))
	}
	return b
}

// idOf returns the id of a payload, and whether the content is what it was.
func idOf(data []byte) (id int, ok bool) {
	if _, err := fmt.Sscanf(string(data[:min(len(data), 24)]), "record %d ", &id); err != nil {
		return 0, false
	}
	return id, bytes.Equal(data, payload(id, len(data)))
}

func items(ids ...int) []buffer.Item {
	out := make([]buffer.Item, len(ids))
	for i, id := range ids {
		out[i] = buffer.Item{Data: payload(id, 100), Label: fmt.Sprintf("unit-%d", id%3), Rows: 1 + id%4, First: int64(id), Last: int64(id) + 1}
	}
	return out
}

func appendAt(t testing.TB, b *buffer.Buffer, want uint64, list []buffer.Item, c *buffer.Cursor) {
	t.Helper()
	if first, err := b.Append(list, c); err != nil || first != want {
		t.Fatalf("Append = %d, %v, want %d", first, err, want)
	}
}

// written waits until nothing is in memory only.
func written(t testing.TB, b *buffer.Buffer) {
	t.Helper()
	within(t, "everything is on disk", func() bool { return b.Stats().Unwritten == 0 })
}

func within(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// all reads a lane from its start.
func all(t testing.TB, b *buffer.Buffer, l buffer.Lane) []buffer.Stored {
	t.Helper()
	var out []buffer.Stored
	var after *buffer.Key
	for {
		s, ok, err := b.Next(l, after)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return out
		}
		out = append(out, s)
		after = &s.Key
	}
}

// show is a lane as text: "0:7 1:8", position and id; losses as "5:loss overflow[2,5)".
func show(t testing.TB, list []buffer.Stored) string {
	t.Helper()
	var parts []string
	for _, s := range list {
		if s.Class == buffer.Loss {
			l, err := buffer.DecodeLoss(s.Data)
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, fmt.Sprintf("%d:loss %s[%d,%d)", s.Position, l.Reason, l.From, l.To))
			continue
		}
		id, ok := idOf(s.Data)
		if !ok {
			t.Fatalf("position %d does not hold what was appended", s.Position)
		}
		parts = append(parts, fmt.Sprintf("%d:%d", s.Position, id))
	}
	return strings.Join(parts, " ")
}

func wantLane(t testing.TB, b *buffer.Buffer, l buffer.Lane, want string) {
	t.Helper()
	if got := show(t, all(t, b, l)); got != want {
		t.Fatalf("lane %d holds %q, want %q", l, got, want)
	}
}

// positions are those of some records of one epoch.
func positions(list ...buffer.Stored) ranges.Set {
	var out ranges.Set
	for _, s := range list {
		out.Add(s.Position, s.Position+1)
	}
	return out
}

func set(from, to uint64) ranges.Set { return ranges.Of(ranges.Range{From: from, To: to}) }

// image copies the files of a folder into a new one.
func image(dir, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyFile(filepath.Join(dir, e.Name()), filepath.Join(to, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

func recordFiles(t testing.TB, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "0*.db"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// wantIDs checks that the backlog is the payloads from, from+1, ... to-1.
func wantIDs(t *testing.T, b *buffer.Buffer, from, to int) {
	t.Helper()
	list := all(t, b, buffer.Backlog)
	if len(list) != to-from {
		t.Fatalf("%d records, want %d", len(list), to-from)
	}
	for i, s := range list {
		if id, ok := idOf(s.Data); !ok || id != from+i {
			t.Fatalf("record %d is %d, %v", from+i, id, ok)
		}
	}
}
