package buffer_test

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

// tale is what a buffer holds of its epochs, and what its loss records tell.
type tale struct {
	held, told ranges.Set // of the first epoch
	losses     []buffer.LossInfo
	ids        []int // of the records held, in order
	alarms     int
}

func taleOf(t *testing.T, b *buffer.Buffer) (out tale) {
	t.Helper()
	first := b.Chain()[0].Epoch
	for _, s := range all(t, b, buffer.Backlog) {
		if s.Epoch == first {
			out.held.Add(s.Position, s.Position+1)
		}
		switch s.Class {
		case buffer.Loss:
			l, err := buffer.DecodeLoss(s.Data)
			if err != nil {
				t.Fatal(err)
			}
			if l.Epoch == first {
				out.told.Add(l.From, l.To)
			}
			out.losses = append(out.losses, l)
		case buffer.Alarm:
			out.alarms++
		default:
			id, ok := idOf(s.Data)
			if !ok {
				t.Fatalf("position %d does not hold what was appended", s.Position)
			}
			out.ids = append(out.ids, id)
		}
	}
	return out
}

// accounted checks that each position below next is held or told lost, and how many
// readings are told.
func (x *tale) accounted(t *testing.T, next, readings uint64) {
	t.Helper()
	known := x.held.Clone()
	known.AddSet(x.told)
	if !known.Equal(set(0, next)) {
		t.Errorf("held or told lost are %v, want [0,%d)", known, next)
	}
	var rows uint64
	for _, l := range x.losses {
		rows += l.Rows
		if l.Reason != buffer.ReasonOverflow || l.Rows > 0 && (!slices.Equal(l.Labels, []string{"u"}) || l.First == 0 || l.Last < l.First) {
			t.Errorf("loss %+v", l)
		}
	}
	if rows != readings {
		t.Errorf("%d readings are told lost, want %d", rows, readings)
	}
}

// pour appends n records without a cursor, from id on, as fast as the disk takes them.
func pour(t *testing.T, b *buffer.Buffer, id, n int) {
	t.Helper()
	for i := id; i < id+n; i++ {
		it := buffer.Item{Data: payload(i, 10_000), Label: "u", Rows: 2, First: int64(i) + 1, Last: int64(i) + 2}
		if _, err := b.Append([]buffer.Item{it}, nil); err != nil {
			t.Fatal(err)
		}
		if i%20 == 0 {
			written(t, b)
		}
	}
	written(t, b)
}

func policyOptions(t *testing.T, p buffer.Policy) buffer.Options {
	o := fullOptions(t)
	o.Policy = p
	return o
}

// TestDropOldest: the newest are kept, alarms too, and the loss records tell what went, also
// after a crash. They stay few, however much goes through.
func TestDropOldest(t *testing.T) {
	reg := prometheus.NewRegistry()
	o := policyOptions(t, buffer.DropOldest)
	o.Metrics = buffer.NewMetrics(reg)
	b := open(t, o)
	appendAt(t, b, 0, []buffer.Item{{Class: buffer.Alarm, Data: payload(0, 100)}}, nil)
	const n = 3000 // 10 KB each, of which some 280 find room
	pour(t, b, 1, n)
	st := b.Stats()
	if !st.Full || st.DiskBytes > o.MaxDisk+o.RotateBytes || st.LostRows != 2*st.LostRecords {
		t.Errorf("stats %+v", st)
	}
	if m := counters(t, reg); m["andon_buffer_shed_records_total"] != float64(st.LostRecords) || m["andon_buffer_lost_records_total overflow"] != float64(st.LostRecords) {
		t.Errorf("metrics %v, %d lost", m, st.LostRecords)
	}
	// A loss record that another took up tells the same until it is deleted.
	within(t, "what was let go of is deleted", func() bool { return dead(b) == 0 })
	epoch, next := b.Epoch(), b.Chain()[0].Next
	if err := buffer.Abandon(b); err != nil {
		t.Fatal(err)
	}
	b = open(t, o)
	x := taleOf(t, b)
	x.accounted(t, next, st.LostRows)
	if len(x.ids) < 200 || x.ids[len(x.ids)-1] != n || x.ids[len(x.ids)-1]-x.ids[0] != len(x.ids)-1 {
		t.Errorf("%d records are held: %v", len(x.ids), x.ids)
	}
	if x.alarms != 1 {
		t.Errorf("%d alarms are held", x.alarms)
	}
	if len(x.losses) > 60 {
		t.Errorf("%d loss records", len(x.losses))
	}
	_ = b.Ack(epoch, x.held)
	within(t, "there is room again", func() bool { return !b.Stats().Full })
}

// TestThin: of what is held, old and new, every tenth remains at least, and what is new is
// kept.
func TestThin(t *testing.T) {
	o := policyOptions(t, buffer.Thin)
	o.ThinKeep = 4
	b := open(t, o)
	const n = 500
	pour(t, b, 1, n)
	st, next := b.Stats(), b.Chain()[0].Next
	x := taleOf(t, b)
	x.accounted(t, next, st.LostRows)
	if len(x.ids)+int(st.LostRecords) != n || x.ids[0] != 1 || x.ids[len(x.ids)-1] != n {
		t.Errorf("%d held, %d lost: %v", len(x.ids), st.LostRecords, x.ids)
	}
	most := 0
	for i := 1; i < len(x.ids); i++ {
		most = max(most, x.ids[i]-x.ids[i-1])
	}
	if most > 2*o.ThinKeep {
		t.Errorf("a gap of %d: %v", most, x.ids)
	}
	for range 6 { // thinned again and again, its oldest remain the longest
		pour(t, b, n+1, n)
	}
	x = taleOf(t, b)
	x.accounted(t, b.Chain()[0].Next, b.Stats().LostRows)
	if x.ids[0] != 1 || b.Stats().DiskBytes > o.MaxDisk+o.RotateBytes {
		t.Errorf("the oldest is %d, %+v", x.ids[0], b.Stats())
	}
}

// TestCursorWaitsBesideTheOldest: a source that can be read again waits while those that
// cannot push the oldest out, and takes none of the room that they make.
func TestCursorWaitsBesideTheOldest(t *testing.T) {
	b := open(t, policyOptions(t, buffer.DropOldest))
	pour(t, b, 1, 600)
	for i := range 100 {
		if _, err := b.Append([]buffer.Item{{Data: payload(i, 10_000)}}, &buffer.Cursor{Name: "c"}); !errors.Is(err, buffer.ErrFull) {
			t.Fatalf("append %d with a cursor: %v", i, err)
		}
		pour(t, b, 601+i, 1)
	}
}

// TestMemoryRing: while the disk takes nothing, memory keeps the newest, and an hour of
// that makes a few loss records and not thousands. When the disk is back it is written.
func TestMemoryRing(t *testing.T) {
	o := policyOptions(t, buffer.DropOldest)
	o.Linger = 100 * time.Millisecond
	o.MaxMemory = 256 << 10
	var broken atomic.Bool
	o.SetStep(func(name string) error {
		if broken.Load() && (name == "write" || name == "create" || name == "note") {
			return errors.New("the disk fails, as it was told to")
		}
		return nil
	})
	synctest.Test(t, func(t *testing.T) {
		b := open(t, o)
		broken.Store(true)
		const n = 3600 * 2
		for i := range n {
			it := buffer.Item{Data: payload(i, 1000), Label: "u", Rows: 1, First: int64(i) + 1, Last: int64(i) + 1}
			if _, err := b.Append([]buffer.Item{it}, nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		st := b.Stats()
		if st.MemoryBytes > o.MaxMemory || st.WriteError == nil || !st.Full || st.Unwritten > 300 {
			t.Errorf("stats %+v", st)
		}
		broken.Store(false)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if st = b.Stats(); st.Unwritten != 0 || st.WriteError != nil || st.Full {
			t.Errorf("when the disk is back: %+v", st)
		}
		x := taleOf(t, b)
		x.accounted(t, b.Chain()[0].Next, st.LostRows)
		if len(x.ids) < 100 || x.ids[len(x.ids)-1] != n-1 || len(x.losses) > 20 {
			t.Errorf("%d records up to %v, %d losses", len(x.ids), x.ids[len(x.ids)-1:], len(x.losses))
		}
	})
}

// TestPolicyOptions: what cannot be is refused.
func TestPolicyOptions(t *testing.T) {
	for name, spoil := range map[string]func(o *buffer.Options){
		"policy": func(o *buffer.Options) { o.Policy = 9 },
		"thin":   func(o *buffer.Options) { o.ThinKeep = 1 },
		"quota":  func(o *buffer.Options) { o.Quota = 0.99 },
	} {
		o := small(t.TempDir())
		spoil(&o)
		if b, err := buffer.Open(o); err == nil {
			t.Errorf("%s: it opens", name)
			_ = b.Close()
		}
	}
	if got := fmt.Sprint(buffer.DropOldest, buffer.DropNewest, buffer.Thin, buffer.Policy(9)); got != "drop-oldest drop-newest thin unknown" {
		t.Error(got)
	}
}

// TestCloseTellsWhatItDropped: a Close for which not all that waits has room writes also the
// loss record of what it lets go of, which comes behind all that was there when it began.
func TestCloseTellsWhatItDropped(t *testing.T) {
	o := small(t.TempDir())
	o.Linger = time.Hour // nothing is written before
	o.RotateBytes, o.MaxDisk, o.MaxMemory, o.Quota = 256<<10, 1<<20, 16<<20, buffer.MinQuota
	b := open(t, o)
	const n = 40
	for id := range n { // each as large as a transaction
		appendAt(t, b, uint64(id), []buffer.Item{{Data: payload(id, o.MaxRecord), Label: "u", Rows: 1, First: 1, Last: 2}}, nil)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	got := taleOf(t, open(t, o))
	if got.told.Empty() {
		t.Error("nothing is told lost")
	}
	got.accounted(t, n+uint64(len(got.losses)), n-uint64(len(got.ids)))
}
