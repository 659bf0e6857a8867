package buffer_test

import (
	"sync/atomic"
	"testing"

	"andon.internal/agent/buffer"
)

// TestReserve: what readings can fill leaves room for alarms, on disk and in memory, under
// every policy.
func TestReserve(t *testing.T) {
	for _, p := range []buffer.Policy{buffer.DropOldest, buffer.DropNewest, buffer.Thin} {
		t.Run(p.String(), func(t *testing.T) {
			o := policyOptions(t, p)
			hang := make(chan struct{})
			var hung atomic.Bool
			o.SetStep(func(name string) error {
				if hung.Load() && name == "write" {
					<-hang
				}
				return nil
			})
			b := open(t, o)
			pour(t, b, 1, 500)
			alarm := func(n int) {
				for i := range n {
					if _, err := b.Append([]buffer.Item{{Class: buffer.Alarm, Data: payload(i, 300)}}, nil); err != nil {
						t.Fatal(err)
					}
				}
			}
			alarm(50)
			written(t, b)
			hung.Store(true)
			for i := range 200 {
				if _, err := b.Append([]buffer.Item{{Data: payload(i, 10_000), Label: "u", Rows: 2, First: 1, Last: 2}}, nil); err != nil {
					t.Fatal(err)
				}
			}
			alarm(50)
			if st := b.Stats(); st.MemoryBytes > o.MaxMemory {
				t.Errorf("%d bytes in memory", st.MemoryBytes)
			}
			hung.Store(false)
			close(hang)
			written(t, b)
			if x := taleOf(t, b); x.alarms != 100 {
				t.Errorf("%d alarms are held, want 100", x.alarms)
			}
		})
	}
}

// TestReserveOfMemory: a disk that hangs leaves memory for alarms, though what comes is lost.
func TestReserveOfMemory(t *testing.T) {
	o := small(t.TempDir())
	o.Policy = buffer.DropNewest
	hang := make(chan struct{})
	o.SetStep(func(name string) error {
		if name == "write" {
			<-hang
		}
		return nil
	})
	b := open(t, o)
	for i := range 300 {
		if _, err := b.Append([]buffer.Item{{Data: payload(i, 10_000)}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		if _, err := b.Append([]buffer.Item{{Class: buffer.Alarm, Data: payload(i, 300)}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	close(hang)
	written(t, b)
	if x := taleOf(t, b); x.alarms != 50 || b.Stats().LostRecords == 0 {
		t.Errorf("%d alarms are held, want 50; %+v", x.alarms, b.Stats())
	}
}

// TestAlarmsAreBounded: not even they take more than there is.
func TestAlarmsAreBounded(t *testing.T) {
	o := policyOptions(t, buffer.DropOldest)
	b := open(t, o)
	for i := range 800 {
		if _, err := b.Append([]buffer.Item{{Class: buffer.Alarm, Data: payload(i, 10_000), Label: "u", Rows: 2, First: 1, Last: 2}}, nil); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			written(t, b)
		}
	}
	written(t, b)
	if st := b.Stats(); st.LostRecords < 300 || st.DiskBytes > o.MaxDisk+o.RotateBytes {
		t.Errorf("stats %+v", st)
	}
	lost := b.Stats().LostRows
	closeChecked(t, b) // a loss that may still grow is told now
	b = open(t, o)
	x := taleOf(t, b)
	x.accounted(t, b.Chain()[0].Next, lost)
	if both := x.told.Intersect(x.held); !both.Empty() {
		t.Errorf("%v are held and told lost", both)
	}
}
