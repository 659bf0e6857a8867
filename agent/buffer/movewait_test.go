package buffer_test

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

// TestMoveBesideAFileThatDoesNotOpen: what can be read is moved, the flusher goes on, and the
// rest comes when the file opens again, under a name of the newest epoch also where another has
// begun meanwhile.
func TestMoveBesideAFileThatDoesNotOpen(t *testing.T) {
	o := small(t.TempDir())
	o.RotateBytes = 256 << 10
	b := open(t, o)
	pour(t, b, 0, 150)
	reopen := closed(t, recordFiles(t, o.Dir)[0])
	for n := range 3 { // the last time with nothing else to be moved
		newEpoch(t, b, ranges.Set{})
		if st := b.Stats(); st.WriteError != nil || st.UnreadableRecords == 0 || st.LostRecords != 0 || st.Records != uint64(150+n) {
			t.Fatalf("stats %+v", st)
		}
		got, end := givenOut(t, b)
		if got.Contains(0) || !got.Contains(149) || !errors.Is(end, buffer.ErrUnreadable) {
			t.Fatalf("%v is given out, and then %v", got, end)
		}
		if n < 2 {
			pour(t, b, 150+n, 1)
		}
	}
	from := b.Epoch()
	reopen()
	within(t, "it is open again", func() bool { return b.Stats().Unreadable == nil })
	moved(t, b)
	for range 2 {
		if got, end := givenOut(t, b); end != nil || !got.Equal(set(0, 152)) {
			t.Errorf("%v is given out, and then %v", got, end)
		}
		list := all(t, b, buffer.Backlog)
		for _, s := range list {
			if s.Epoch != from || !s.Moved {
				t.Fatalf("position %d of epoch %x, moved is %v", s.Position, s.Epoch, s.Moved)
			}
		}
		if len(list) != 152 || list[151].Position != 151 {
			t.Errorf("%d records, the last is %d", len(list), list[len(list)-1].Position)
		}
		closeChecked(t, b)
		b = open(t, o)
	}
}

// TestEndsOfMovedEpochs: after a restart they are where the moves put them, or the collector would
// book as lost what came under other names.
func TestEndsOfMovedEpochs(t *testing.T) {
	o := small(t.TempDir())
	names := epochNames{}
	b := open(t, o)
	pour(t, b, 0, 6)
	newEpoch(t, b, set(0, 2))
	for _, want := range []string{
		"1<- closed 2 [0,2); 2<1 open 4 [0,4)",
		"1<- closed 2 [0,2); 2<1 closed 4 [0,4); 3<2 open 0 ",
	} {
		if got := names.text(t, b); got != want {
			t.Errorf("the chain is %s, want %s", got, want)
		}
		closeChecked(t, b)
		f, err := buffer.OpenFolder(o.Dir)
		if err != nil {
			t.Fatal(err)
		}
		if inv, err := f.Inventory(); err != nil || inv.Epochs[0].Next != 2 || inv.Epochs[1].Next != 4 {
			t.Errorf("the folder of the stopped agent has %+v, %v", inv.Epochs, err)
		}
		b = open(t, o)
	}

	o = small(t.TempDir())
	o.RotateBytes = 256 << 10
	names = epochNames{}
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	pour(t, b, 0, 100)
	reopen := closed(t, recordFiles(t, o.Dir)[0])
	newEpoch(t, b, ranges.Set{}) // of which some waits
	pour(t, b, 100, 1)
	newEpoch(t, b, ranges.Set{})
	reopen()
	if err := buffer.Abandon(b); err != nil {
		t.Fatal(err)
	}
	b = open(t, o)
	if got, want := names.text(t, b), "1<- closed 0 ; 2<1 closed 0 ; 3<2 unclean 101 [0,101); 4<3 open 0 "; got != want {
		t.Errorf("the chain is %s, want %s", got, want)
	}
	wantIDs(t, b, 0, 101)
}

// TestEndOfAnEpochThatIsMovedAgain: an epoch that the next start goes through again, because its
// records are in a file that is not written any more, is not forgotten: that start knows where
// it ended.
func TestEndOfAnEpochThatIsMovedAgain(t *testing.T) {
	o := small(t.TempDir())
	var ends atomic.Int32
	o.SetStep(func(name string) error {
		switch {
		case name == "endmove":
			ends.CompareAndSwap(0, 1)
		case name == "write" && ends.CompareAndSwap(1, 2): // the deletes behind it
			return errors.New("the disk fails, as it was told to")
		}
		return nil
	})
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	names := epochNames{}
	pour(t, b, 0, 6)
	newEpoch(t, b, ranges.Set{})
	within(t, "the disk is back", func() bool { return ends.Load() == 2 && b.Stats().WriteError == nil && !b.Moving() })
	b.Settle([]buffer.Epoch{b.Chain()[0].Epoch})
	for i := range 2 { // what is forgotten is so behind the first write
		pour(t, b, 6+i, 1)
		written(t, b)
	}
	if got, want := names.text(t, b), "1<- closed 0 ; 2<1 open 8 [0,8)"; got != want {
		t.Errorf("the chain is %s, want %s", got, want)
	}
	if err := buffer.Abandon(b); err != nil {
		t.Fatal(err)
	}
	b = open(t, o)
	if got, want := names.text(t, b), "1<- closed 0 ; 2<1 unclean 8 [0,8); 3<2 open 0 "; got != want {
		t.Errorf("the chain is %s, want %s", got, want)
	}
	wantIDs(t, b, 0, 8)
}

// TestMoveOfANewerForm: after a way back to an older version a move that goes on then leaves
// out what only the newer one can read, until that is back.
func TestMoveOfANewerForm(t *testing.T) {
	o := small(t.TempDir())
	old := cutOffMove(t, &o)
	path := recordFiles(t, o.Dir)[0]
	before := makeNewer(t, path, 2)
	for range 2 {
		b, err := buffer.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		got, end := givenOut(t, b)
		if got.String() != "[0,2)[3,4)" || !errors.Is(end, buffer.ErrUnreadable) {
			t.Errorf("%v is given out, and then %v", got, end)
		}
		newEpoch(t, b, ranges.Set{})
		if st := b.Stats(); st.WriteError != nil || st.UnreadableRecords != 1 || st.Records != 4 {
			t.Errorf("stats %+v", st)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	rewrite(t, path, func(data []byte) {
		i := strings.Index(string(before), string(payload(2, 10_000)))
		start := strings.LastIndex(string(before[:i]), "ANR")
		copy(data[start:i+10_004], before[start:i+10_004])
	})
	b := open(t, o)
	wantLane(t, b, buffer.Backlog, "0:0 1:1 2:2 3:3")
	if s := all(t, b, buffer.Backlog)[2]; s.Epoch == old || !s.Moved {
		t.Errorf("epoch %x, moved is %v", s.Epoch, s.Moved)
	}
}

// TestMoveOfTheSecondCopy: a record whose file took no sync, and that is in the next one too, is
// moved also where its first copy does not read back.
func TestMoveOfTheSecondCopy(t *testing.T) {
	o := small(t.TempDir())
	var unsure atomic.Bool
	crash := crashesInMove()
	o.SetStep(func(name string) error {
		if name == "written" && unsure.CompareAndSwap(true, false) {
			return errors.New("the disk fails, as it was told to")
		}
		return crash(name)
	})
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		unsure.Store(i == 2)
		appendAt(t, b, uint64(i), []buffer.Item{{Data: payload(i, 10_000), Rows: 1}}, nil)
		written(t, b)
	}
	old := b.Epoch()
	cutOff(t, b)
	o.SetStep(nil)
	flip(t, o.Dir, 2, 10_000) // in the first file
	for range 2 {
		b = open(t, o)
		wantLane(t, b, buffer.Backlog, "0:0 1:1 2:2 3:3")
		for _, s := range all(t, b, buffer.Backlog) {
			if s.Epoch == old || !s.Moved {
				t.Errorf("position %d of epoch %x, moved is %v", s.Position, s.Epoch, s.Moved)
			}
		}
		closeChecked(t, b)
	}
}

// TestSetAsideWhileAnEpochBegins: what memory still has of a file that is set aside just then
// is written under its name in the new epoch.
func TestSetAsideWhileAnEpochBegins(t *testing.T) {
	o := small(t.TempDir())
	var b *buffer.Buffer
	var once atomic.Bool
	o.SetStep(func(name string) error {
		if name != "begin" || b == nil || !once.CompareAndSwap(false, true) {
			return nil
		}
		if err := os.Truncate(recordFiles(t, o.Dir)[0], 0); err != nil {
			t.Error(err)
		}
		if _, ok, err := b.Get(buffer.Key{Epoch: b.Epoch(), Position: 60}); ok || err != nil {
			t.Errorf("it reads what is not there: %v", err)
		}
		return nil
	})
	b = open(t, o)
	pour(t, b, 0, 450) // into several files, so that the first is not open any more
	newEpoch(t, b, ranges.Set{})
	written(t, b)
	within(t, "the loss is told", func() bool { return buffer.OpenLosses(b) == 0 })
	list := all(t, b, buffer.Backlog)
	if id, ok := idOf(list[0].Data); !ok || id != 0 || list[0].Position != 0 || list[0].Epoch != b.Epoch() || !list[0].Moved {
		t.Errorf("the first is record %d, at %d of epoch %x", id, list[0].Position, list[0].Epoch)
	}
	if n := uint64(len(list) - 1); !once.Load() || n+b.Stats().LostRecords != 450 {
		t.Errorf("%d records are held, %d lost", n, b.Stats().LostRecords)
	}
}

// TestMoveOnADiskThatHangs: nobody waits for a move whose disk does not come back, and when it
// does that is told.
func TestMoveOnADiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := small(t.TempDir())
		var hangs atomic.Bool
		back := make(chan struct{})
		o.SetStep(func(name string) error {
			if name == "write" && hangs.Load() {
				<-back
			}
			return nil
		})
		b := open(t, o)
		appendAt(t, b, 0, items(0, 1, 2), nil)
		written(t, b)
		hangs.Store(true)
		if err := b.NewEpoch(ranges.Set{}); err != nil {
			t.Fatal(err)
		}
		if !b.Moving() {
			t.Error("it is not waited for")
		}
		time.Sleep(time.Minute)
		if b.Moving() || b.Moved() != 0 {
			t.Error("it is waited for a move that the disk does not take")
		}
		close(back)
		within(t, "it is moved", func() bool { return b.Moved() > 0 })
		wantLane(t, b, buffer.Backlog, "0:0 1:1 2:2")
		moved(t, b)
	})
}
