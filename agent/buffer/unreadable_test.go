package buffer_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

// closed makes a file one that does not open, though it is there, until the returned
// function is called.
func closed(t *testing.T, path string) (reopen func()) {
	t.Helper()
	away := path + ".away"
	if err := errors.Join(os.Rename(path, away), os.Symlink(path, path)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.Remove(path), os.Rename(away, path)); err != nil {
			t.Error(err)
		}
	}
}

// givenOut is what the backlog gives out, and the error behind it.
func givenOut(t *testing.T, b *buffer.Buffer) (set ranges.Set, end error) {
	t.Helper()
	var after *buffer.Key
	for {
		s, ok, err := b.Next(buffer.Backlog, after)
		if err != nil && !errors.Is(err, buffer.ErrUnreadable) {
			t.Fatal(err)
		}
		if !ok {
			return set, err
		}
		if id, ok := idOf(s.Data); s.Class == buffer.Bulk && ok {
			set.Add(uint64(id), uint64(id)+1)
		}
		after = &s.Key
	}
}

// TestFileThatDoesNotOpen: it is passed over and told, what is behind it is given out, and it
// is read, and deleted in, as soon as it opens again. Nothing of it is lost.
func TestFileThatDoesNotOpen(t *testing.T) {
	o, epoch := filled(t, 60, 10_000)
	b := open(t, o)
	first := recordFiles(t, o.Dir)[0]
	reopen := closed(t, first)
	got, end := givenOut(t, b)
	if got.Contains(0) || !got.Contains(59) || !errors.Is(end, buffer.ErrUnreadable) {
		t.Fatalf("%v is given out, and then %v", got, end)
	}
	lacks := set(0, 60)
	lacks.RemoveSet(got)
	st := b.Stats()
	if st.UnreadableRecords != lacks.Len() || st.Unreadable == nil || st.LostRecords != 0 || b.Inventory().Files[0].Err == nil {
		t.Errorf("%d are left out; stats %+v", lacks.Len(), st)
	}
	if _, ok, err := b.Get(buffer.Key{Epoch: epoch}); ok || !errors.Is(err, buffer.ErrUnreadable) {
		t.Errorf("Get: %v, %v", ok, err)
	}
	if _, _, err := b.Next(buffer.Live, nil); err != nil {
		t.Errorf("the live lane: %v", err)
	}
	var seen, faults int
	if err := b.Peek(t.Context(), func(f buffer.Found) error {
		if seen++; errors.Is(f.Err, buffer.ErrUnreadable) {
			faults++
		}
		return nil
	}); err != nil || seen != 60 || faults != int(lacks.Len()) {
		t.Errorf("Peek saw %d, %d of them with an error, and says %v", seen, faults, err)
	}
	_ = b.Ack(epoch, set(0, 1)) // a delete that has to wait
	_ = b.Ack(epoch, set(59, 60))
	appendAt(t, b, 0, items(60), nil)
	written(t, b)
	within(t, "the other delete is written", func() bool { return dead(b) == 1 })
	if err := b.Stats().WriteError; err != nil {
		t.Errorf("write error %v", err)
	}
	reopen()
	within(t, "it is open again", func() bool { return b.Stats().Unreadable == nil })
	if got, end = givenOut(t, b); end != nil || got.String() != "[1,59)[60,61)" {
		t.Errorf("%v is given out, and then %v", got, end)
	}
	within(t, "the delete is written", func() bool { return dead(b) == 0 })
}

// TestNothingHeldInAFileThatDoesNotOpen: where all of it was acknowledged, nothing that is held
// cannot be read.
func TestNothingHeldInAFileThatDoesNotOpen(t *testing.T) {
	o, epoch := filled(t, 60, 10_000)
	b := open(t, o)
	reopen := closed(t, recordFiles(t, o.Dir)[0])
	got, _ := givenOut(t, b)
	lacks := set(0, 60)
	lacks.RemoveSet(got)
	if st := b.Stats(); st.Unreadable == nil || st.UnreadableRecords != lacks.Len() {
		t.Errorf("stats %+v", st)
	}
	_ = b.Ack(epoch, lacks)
	if st := b.Stats(); st.Unreadable != nil || st.UnreadableRecords != 0 {
		t.Errorf("stats %+v", st)
	}
	reopen()
}

// dead is how many records wait to be deleted.
func dead(b *buffer.Buffer) (n uint64) {
	for _, f := range b.Inventory().Files {
		n += f.Records - f.Live
	}
	return n
}

// TestFileThatWasRemoved: what somebody took away is told as lost at once, exactly, and stops
// nothing. It is not so while the whole folder is away.
func TestFileThatWasRemoved(t *testing.T) {
	o, epoch := filled(t, 60, 10_000)
	reg := prometheus.NewRegistry()
	o.Metrics = buffer.NewMetrics(reg)
	b := open(t, o)
	files := recordFiles(t, o.Dir)
	away := o.Dir + ".away"
	if err := errors.Join(os.Rename(o.Dir, away), os.Mkdir(o.Dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	got, end := givenOut(t, b)
	if st := b.Stats(); !errors.Is(end, buffer.ErrUnreadable) || st.LostRecords != 0 || st.UnreadableRecords != 60-got.Len() {
		t.Errorf("without the folder %v is given out, and then %v; %+v", got, end, st)
	}
	if err := errors.Join(os.RemoveAll(o.Dir), os.Rename(away, o.Dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	within(t, "the others are open again", func() bool { return b.Stats().Unreadable == nil })
	if got, end = givenOut(t, b); end != nil || !got.Contains(59) || got.Len() > 58 {
		t.Fatalf("%v is given out, and then %v", got, end)
	}
	lost := 60 - got.Len()
	within(t, "the loss is told", func() bool { return buffer.OpenLosses(b) == 0 })
	told := ranges.Set{}
	for _, s := range all(t, b, buffer.Backlog) {
		if l, err := buffer.DecodeLoss(s.Data); s.Class == buffer.Loss && err == nil && l.Epoch == epoch && l.Reason == buffer.ReasonDamaged {
			told.Add(l.From, l.To)
		}
	}
	got.AddSet(told)
	if st := b.Stats(); !got.Equal(set(0, 60)) || told.Len() != lost || st.LostRecords != lost || st.InPlace != 0 || st.Files != len(files)-1 {
		t.Errorf("told %v, %d are lost; %+v", told, lost, st)
	}
	if n := counters(t, reg)["andon_buffer_damaged_files_total"]; n != 0 {
		t.Errorf("%v files are set aside", n)
	}
}

// TestRoomBesideAFileThatDoesNotOpen: the policy takes the oldest of the others, and not what
// comes.
func TestRoomBesideAFileThatDoesNotOpen(t *testing.T) {
	o := policyOptions(t, buffer.DropOldest)
	b := open(t, o)
	pour(t, b, 1, 250)
	closeChecked(t, b)
	b = open(t, o)
	reopen := closed(t, recordFiles(t, o.Dir)[0])
	pour(t, b, 251, 300)
	got, _ := givenOut(t, b)
	if n := got.Intersect(set(251, 551)).Len(); n < 100 || !got.Contains(550) {
		t.Errorf("of 300 new records %d are held: %v", n, got)
	}
	if st := b.Stats(); st.UnreadableRecords == 0 || st.WriteError != nil {
		t.Errorf("stats %+v", st)
	}
	reopen()
	within(t, "it is open again", func() bool { return b.Stats().Unreadable == nil })
	if got, _ = givenOut(t, b); !got.Contains(1) {
		t.Errorf("what could not be read is gone: %v", got)
	}
}

// TestRoomInAFileThatDoesNotOpen: an old file with room, which takes what comes near the limit
// of the disk, is not waited for.
func TestRoomInAFileThatDoesNotOpen(t *testing.T) {
	o := policyOptions(t, buffer.DropOldest)
	o.RotateBytes = 1 << 20
	b := open(t, o)
	pour(t, b, 0, 250)
	epoch := b.Epoch()
	_ = b.Ack(epoch, set(0, 60)) // of the first file, which then has the most room
	within(t, "deletes are written", func() bool { return dead(b) == 0 })
	closeChecked(t, b)
	b = open(t, o)
	reopen := closed(t, recordFiles(t, o.Dir)[0])
	defer reopen()
	pour(t, b, 250, 120) // until the active file is full
	if st := b.Stats(); st.UnreadableRecords == 0 || st.WriteError != nil || st.Unwritten != 0 {
		t.Errorf("stats %+v", st)
	}
	if got, _ := givenOut(t, b); !got.Contains(369) {
		t.Errorf("%v is held", got)
	}
}

// makeNewer gives a record of a file a form that only a newer version knows, and returns what
// the file was.
func makeNewer(t *testing.T, path string, id int) (before []byte) {
	t.Helper()
	newer := 0
	before = rewrite(t, path, func(data []byte) {
		for at, content := 0, payload(id, 10_000); ; newer++ { // a page that was written again lies there twice
			i := bytes.Index(data[at:], content)
			if i < 0 {
				return
			}
			start, end := bytes.LastIndex(data[:at+i], []byte("ANR")), at+i+len(content)
			data[start+3] = 77
			binary.LittleEndian.PutUint32(data[end:], crc32.Checksum(data[start:end], crc32.MakeTable(crc32.Castagnoli)))
			at = end
		}
	})
	if newer == 0 {
		t.Fatalf("record %d is not in %s", id, path)
	}
	return before
}

// TestRecordOfANewerForm: after a way back to an older version, a record that only the newer
// one can read is kept, and those behind it are given out.
func TestRecordOfANewerForm(t *testing.T) {
	o, _ := filled(t, 20, 10_000)
	path := recordFiles(t, o.Dir)[0]
	makeNewer(t, path, 3)
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	for range 2 { // also when it is known
		got, end := givenOut(t, b)
		if got.String() != "[0,3)[4,20)" || !errors.Is(end, buffer.ErrUnreadable) || !errors.Is(end, buffer.ErrNewer) {
			t.Fatalf("%v is given out, and then %v", got, end)
		}
	}
	if st := b.Stats(); st.UnreadableRecords != 1 || st.LostRecords != 0 || st.Records != 20 {
		t.Errorf("stats %+v", st)
	}
	// When the database has it after all, it goes with its file, which is written meanwhile.
	epoch := b.Chain()[0].Epoch
	_ = b.Ack(epoch, set(0, 5))
	within(t, "the others are deleted", func() bool { return dead(b) == 1 })
	if st := b.Stats(); st.SealError != nil || st.Sealed != 0 || st.WriteError != nil {
		t.Errorf("stats %+v", st)
	}
	_ = b.Ack(epoch, set(5, 20))
	appendAt(t, b, 0, items(20), nil)
	for i := 1; b.Stats().Files == 1 || exists(path); i++ { // until the file is not the active one
		appendAt(t, b, uint64(i), one(20+i), nil)
		written(t, b)
	}
	if st := b.Stats(); st.SealError != nil || st.Sealed != 0 || st.WriteError != nil {
		t.Errorf("stats %+v", st)
	}
}
