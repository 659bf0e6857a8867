package buffer_test

import (
	"errors"
	"testing"
	"time"

	"andon.internal/agent/buffer"
)

// TestFileLeavesRoomForTheLine: while a disk hangs, a file that is read as fast as it goes
// takes half of the memory and waits; readings that come once find room beside it, and when
// the disk is back the file goes on.
func TestFileLeavesRoomForTheLine(t *testing.T) {
	o := small(t.TempDir())
	hang := make(chan struct{})
	o.SetStep(func(name string) error {
		if name == "write" {
			<-hang
		}
		return nil
	})
	b := open(t, o)
	n := 0
	for ; ; n++ {
		_, err := b.Append([]buffer.Item{{Data: payload(n, 10_000)}}, &buffer.Cursor{Name: "file"})
		if errors.Is(err, buffer.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if st := b.Stats(); st.MemoryBytes > o.MaxMemory/2 || st.MemoryBytes < o.MaxMemory/4 || st.Full {
		t.Errorf("behind %d records of the file: %+v", n, st)
	}
	for i := range 20 {
		if _, err := b.Append([]buffer.Item{{Data: payload(1000+i, 10_000)}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if st := b.Stats(); st.LostRecords != 0 || st.Full {
		t.Errorf("with the line: %+v", st)
	}
	waited := make(chan error, 1)
	go func() { waited <- b.WaitSpace(t.Context()) }()
	select {
	case err := <-waited:
		t.Fatalf("did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(hang)
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if _, err := b.Append([]buffer.Item{{Data: payload(n, 10_000)}}, &buffer.Cursor{Name: "file"}); err != nil {
		t.Error(err)
	}
	written(t, b)
}
