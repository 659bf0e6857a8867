package buffer_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/buffer"
)

// counters returns the values of all metrics of a registry by name and label.
func counters(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			out[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return out
}

func TestOversize(t *testing.T) {
	reg := prometheus.NewRegistry()
	o := small(t.TempDir())
	o.Metrics = buffer.NewMetrics(reg)
	b := open(t, o)
	large := func(label string, at int64) buffer.Item {
		return buffer.Item{Data: make([]byte, o.MaxRecord+1), Label: label, Rows: 10, First: at, Last: at + 5}
	}
	list := slices.Concat(items(1), []buffer.Item{large("b", 20), large("a", 10)}, items(2), []buffer.Item{large("c", 0)})
	for i, c := range []*buffer.Cursor{nil, {Name: "replay", Data: []byte("x")}} {
		// Seven positions: five items and a loss record for each stretch.
		appendAt(t, b, uint64(7*i), list, c)
	}
	written(t, b)
	wantLane(t, b, buffer.Backlog, "0:1 3:2 5:loss oversize[1,3) 6:loss oversize[4,5) 7:1 10:2 12:loss oversize[8,10) 13:loss oversize[11,12)")
	s, _, err := b.Get(buffer.Key{Epoch: b.Epoch(), Position: 5})
	if err != nil {
		t.Fatal(err)
	}
	got, err := buffer.DecodeLoss(s.Data)
	want := buffer.LossInfo{Epoch: b.Epoch(), From: 1, To: 3, Reason: "oversize", Labels: []string{"a", "b"}, Rows: 20, First: 10, Last: 25}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("loss is %+v, %v, want %+v", got, err, want)
	}
	if st := b.Stats(); st.LostRows != 60 || st.LostRecords != 6 {
		t.Errorf("stats say %d rows, %d records lost", st.LostRows, st.LostRecords)
	}
	m := counters(t, reg)
	if m["andon_buffer_lost_rows_total oversize"] != 60 || m["andon_buffer_lost_records_total oversize"] != 6 || m["andon_buffer_records"] != 8 {
		t.Errorf("metrics: %v", m)
	}
}

// full fills the buffer's disk until an append with a cursor is refused, and returns
// how many records it took.
func fill(t *testing.T, b *buffer.Buffer) int {
	t.Helper()
	for n := 0; ; n++ {
		for {
			_, err := b.Append([]buffer.Item{{Data: payload(n, 15_000), Rows: 1}}, &buffer.Cursor{Name: "replay", Data: fmt.Append(nil, n)})
			if err == nil {
				break
			}
			if !errors.Is(err, buffer.ErrFull) {
				t.Fatal(err)
			}
			written(t, b)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			err = b.WaitSpace(ctx)
			cancel()
			if errors.Is(err, context.DeadlineExceeded) {
				return n
			}
		}
	}
}

func fullOptions(t *testing.T) buffer.Options {
	o := small(t.TempDir())
	o.MaxDisk = 4 << 20
	o.Policy = buffer.DropNewest
	return o
}

// TestFullWithCursor: a rereadable source waits, and nothing is lost.
func TestFullWithCursor(t *testing.T) {
	o := fullOptions(t)
	b := open(t, o)
	n := fill(t, b)
	if st := b.Stats(); !st.Full || st.LostRecords != 0 || st.DiskBytes > o.MaxDisk || st.DiskBytes < o.MaxDisk/2 {
		t.Errorf("full at %d records: %+v", n, st)
	}
	if c, err := b.Cursor("replay"); err != nil || string(c) != fmt.Sprint(n-1) {
		t.Errorf("cursor is %q, %v, want %d", c, err, n-1)
	}
	waited := make(chan error)
	go func() { waited <- b.WaitSpace(t.Context()) }()
	_ = b.Ack(b.Epoch(), set(0, uint64(n/2)))
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	appendAt(t, b, uint64(n), []buffer.Item{{Data: payload(n, 15_000)}}, &buffer.Cursor{Name: "replay"})
	written(t, b)
	wantIDs(t, b, n/2, n+1)
}

// TestFullWithoutCursor: positions that find no room become one loss record, which is
// kept over a crash. Alarms still find room.
func TestFullWithoutCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a slow disk makes no second loss of one
		o := fullOptions(t)
		b := open(t, o)
		n := uint64(fill(t, b))
		for i := range 50 {
			appendAt(t, b, n+2*uint64(i), items(1, 2), nil)
		}
		appendAt(t, b, n+101, []buffer.Item{{Class: buffer.Alarm, Data: payload(7, 100)}}, nil) // behind the loss record
		appendAt(t, b, n+102, items(3), nil)
		_ = b.Ack(b.Epoch(), set(0, n-1))
		within(t, "there is room", func() bool { return !b.Stats().Full })
		appendAt(t, b, n+104, items(9), nil)
		written(t, b)
		epoch := b.Epoch()
		if err := buffer.Abandon(b); err != nil {
			t.Fatal(err)
		}
		b = open(t, o)
		_ = b.Ack(epoch, set(0, n))
		wantLane(t, b, buffer.Backlog, fmt.Sprintf("%d:loss overflow[%d,%d) %d:7 %d:loss overflow[%d,%d) %d:9",
			n+100, n, n+100, n+101, n+103, n+102, n+103, n+104))
	})
}

// TestFullForLong: while nothing but losses come, they become rarer, and each is told.
func TestFullForLong(t *testing.T) {
	o := fullOptions(t)
	o.Linger = 100 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		b := open(t, o)
		for !b.Stats().Full {
			for range 20 {
				if _, err := b.Append([]buffer.Item{{Data: payload(1, 15_000)}}, nil); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		before := b.Stats()
		for range 10 * 60 {
			if _, err := b.Append(items(1), nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		after := b.Stats()
		if n := after.Records - before.Records; n < 10 || n > 20 {
			t.Errorf("ten minutes of loss made %d loss records", n)
		}
		var told uint64
		for _, s := range all(t, b, buffer.Backlog) {
			if s.Class == buffer.Loss {
				l, err := buffer.DecodeLoss(s.Data)
				if err != nil {
					t.Fatal(err)
				}
				told += l.To - l.From
			}
		}
		if lost := after.LostRecords; told > lost || told+60 < lost {
			t.Errorf("%d of %d losses are told", told, lost)
		}
	})
}

// TestFullMemory: with a disk that hangs, memory is bounded and Append does not wait.
func TestFullMemory(t *testing.T) {
	hold := make(chan struct{})
	o := small(t.TempDir())
	o.SetStep(func(name string) error {
		if name == "write" {
			<-hold
		}
		return nil
	})
	b := open(t, o)
	start := time.Now()
	for i := range 1000 {
		if _, err := b.Append([]buffer.Item{{Data: payload(i, 10_000), Rows: 1}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("1000 appends to a disk that hangs took %v", took)
	}
	st := b.Stats()
	if st.MemoryBytes > o.MaxMemory || st.LostRecords == 0 || !st.Full {
		t.Errorf("stats %+v", st)
	}
	kept := st.Records
	_ = b.Ack(b.Epoch(), set(0, kept/2)) // a link that works makes room
	if _, err := b.Append(items(5), nil); err != nil {
		t.Fatal(err)
	}
	close(hold)
	written(t, b)
	if st = b.Stats(); st.LostRecords != 1000-kept {
		t.Errorf("%d lost, want %d", st.LostRecords, 1000-kept)
	}
}
