package buffer_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/internal/disktest"
	"andon.internal/shared/ranges"
)

// TestPowerCut: whatever the buffer says is on disk is there after a power cut, between
// the writes of a new file too, and a cursor stands where its records end. The disk is of
// its own, and forgets what was not synced. ANDON_LONG does it four hundred times, on XFS too.
func TestPowerCut(t *testing.T) {
	if testing.Short() {
		t.Skip("cuts the power for seconds")
	}
	kinds, cuts := []string{"ext4"}, 6
	if os.Getenv("ANDON_LONG") != "" {
		kinds, cuts = append(kinds, "xfs"), 100
	}
	for _, kind := range kinds {
		for _, ahead := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s ahead %v", kind, ahead), func(t *testing.T) {
				t.Parallel()
				c := &cutter{t: t, disk: disktest.MountKind(t, kind, 320<<20), rng: rand.New(rand.NewPCG(1, 2)), held: map[buffer.Key]int{}, source: map[int]bool{}}
				c.o = small(filepath.Join(c.disk.Dir, "buffer"))
				c.o.RotateBytes, c.o.WriteAhead = 256<<10, ahead
				for range cuts {
					c.live()
				}
				c.verify(open(t, c.o))
				t.Logf("%d cuts, %d of them at a new file; %d records were said to be on disk", cuts, c.atFile, c.declared)
				if c.declared < cuts || c.atFile == 0 {
					t.Error("that is too few to tell anything")
				}
			})
		}
	}
}

// cutter pours records into a buffer whose disk loses its power, again and again.
type cutter struct {
	t    *testing.T
	disk *disktest.Disk
	o    buffer.Options
	rng  *rand.Rand

	id       int                // of the last record
	held     map[buffer.Key]int // said to be on disk, and not acknowledged: ids
	source   map[int]bool       // ids of records with a cursor, not acknowledged
	after    *buffer.Key        // up to where it was looked in this life
	declared int
	atFile   int
}

// live opens the buffer, checks that it holds what it said, and pours until the power is cut.
func (c *cutter) live() {
	c.t.Helper()
	atFile, due := c.rng.IntN(2) == 0, make(chan struct{})
	files, want := atomic.Int64{}, int64(1+c.rng.IntN(3))
	limit, moment := 5*time.Second, time.Duration(c.rng.IntN(4000))*time.Microsecond
	if !atFile {
		want, limit, moment = -1, 0, time.Duration(c.rng.IntN(300))*time.Millisecond
	}
	c.o.SetStep(func(name string) error {
		if name == "create" && files.Add(1) == want {
			close(due)
		}
		return nil
	})
	b, err := buffer.Open(c.o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.verify(b)
	c.after = nil
	c.look(b, true)
	var cutting sync.WaitGroup
	var dead atomic.Bool
	cutting.Go(func() {
		select {
		case <-due:
			c.atFile++
		case <-time.After(limit):
		}
		time.Sleep(moment) // the moment is what is tried
		if err := c.disk.Cut(); err != nil {
			c.t.Error(err)
		}
		dead.Store(true)
	})
	for !dead.Load() {
		c.pour(b)
		c.look(b, !atFile) // nothing is freed, so that there are new files
	}
	cutting.Wait()
	if err := buffer.Abandon(b); err != nil {
		c.t.Log(err) // of a dead disk
	}
	c.disk.Restore()
}

// pour appends some records, every other time with a cursor.
func (c *cutter) pour(b *buffer.Buffer) {
	list := make([]buffer.Item, 1+c.rng.IntN(4))
	var cur *buffer.Cursor
	for i := range list {
		c.id++
		list[i] = buffer.Item{Data: payload(c.id, 1000+c.rng.IntN(8000)), Label: "live", Rows: 1}
	}
	if c.rng.IntN(2) == 0 {
		cur = &buffer.Cursor{Name: "source", Data: strconv.AppendInt(nil, int64(c.id), 10)}
		for i := range list {
			list[i].Label = "source"
		}
	}
	if _, err := b.Append(list, cur); err != nil {
		c.id -= len(list) // ErrFull, while the disk is slow or dead
	} else if cur != nil {
		for i := range list {
			c.source[c.id-i] = true
		}
	}
	time.Sleep(time.Millisecond) // the rate of a busy cell
}

// look notes what is said to be on disk, up to what is not yet, and may acknowledge most.
func (c *cutter) look(b *buffer.Buffer, ack bool) {
	acked := map[buffer.Epoch]ranges.Set{}
	for {
		s, ok, err := b.Next(buffer.Backlog, c.after)
		if err != nil || !ok || !s.OnDisk { // the disk may be dead by now
			break
		}
		c.after = &s.Key
		id, whole := idOf(s.Data)
		if !whole { // a loss record
			continue
		}
		if _, known := c.held[s.Key]; !known {
			c.held[s.Key], c.declared = id, c.declared+1
		}
		if ack && c.rng.IntN(8) > 0 {
			delete(c.held, s.Key)
			delete(c.source, id)
			set := acked[s.Epoch]
			set.Add(s.Position, s.Position+1)
			acked[s.Epoch] = set
		}
	}
	for e, set := range acked {
		if err := b.Ack(e, set); err != nil {
			c.t.Error(err)
		}
	}
}

// verify compares what the buffer holds with what it said before the cut.
func (c *cutter) verify(b *buffer.Buffer) {
	c.t.Helper()
	if err := buffer.Check(b); err != nil {
		c.t.Errorf("after a cut: %v", err)
	}
	there := map[buffer.Key]int{}
	present := map[int]bool{}
	newest := 0 // of those with a cursor
	for _, s := range all(c.t, b, buffer.Backlog) {
		if s.Class == buffer.Loss {
			continue
		}
		id, whole := idOf(s.Data)
		if !whole {
			c.t.Errorf("position %d does not read back as it was appended", s.Position)
		}
		there[s.Key], present[id] = id, true
		if s.Label == "source" {
			newest = max(newest, id)
		}
	}
	lost := 0
	for k, id := range c.held {
		if there[k] != id {
			lost++
		}
	}
	if lost > 0 {
		c.t.Errorf("%d of %d records that were said to be on disk are not there", lost, len(c.held))
	}
	data, err := b.Cursor("source")
	at, _ := strconv.Atoi(string(data)) // 0 when there is none
	if err != nil || at < newest {
		c.t.Errorf("the cursor is at %d, %v, with record %d on disk", at, err, newest)
	}
	for id := range c.source {
		if id <= at && !present[id] {
			c.t.Errorf("the cursor is at %d, but record %d is not there", at, id)
		}
		if id > at {
			delete(c.source, id) // is read again
		}
	}
	c.held = there
}
