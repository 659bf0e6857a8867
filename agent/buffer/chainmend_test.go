package buffer_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"andon.internal/agent/buffer"
)

// chainBreaks has the next sync of the chain file fail.
func chainBreaks(t *testing.T, dir string) (restore func()) {
	t.Helper()
	return replaceFD(t, filepath.Join(dir, "chain.db"), "/dev/null")
}

// TestChainFileIsRenewed: after a write to it that failed there is another one, in which an epoch
// begins and is closed, and whose notes of files and cursors are true.
func TestChainFileIsRenewed(t *testing.T) {
	o, first := filled(t, 60, 10_000)
	b := open(t, o)
	restore := chainBreaks(t, o.Dir)
	appendAt(t, b, 0, items(60, 61), &buffer.Cursor{Name: "c", Data: []byte("62")})
	within(t, "it is told", func() bool { return b.Stats().ChainError != nil })
	second := b.Epoch()
	if err := b.NewEpoch(set(0, 2)); err != nil {
		t.Fatalf("no epoch can begin: %v", err)
	}
	restore()
	if err := b.Stats().ChainError; err != nil {
		t.Errorf("it is told still: %v", err)
	}
	appendAt(t, b, 0, items(62), nil)
	written(t, b)
	crashed := small(t.TempDir())
	if err := image(o.Dir, crashed.Dir); err != nil {
		t.Fatal(err)
	}
	rewrite(t, filepath.Join(crashed.Dir, filepath.Base(buffer.ActivePath(b))), zero)
	_ = b.Ack(first, set(45, 50)) // in another file: would be told lost if nothing were known of the first
	held := b.Chain()[0].Held
	closeChecked(t, b)

	files := recordFiles(t, o.Dir)
	rewrite(t, files[0], zero)
	b = open(t, o)
	chain := b.Chain()
	if len(chain) != 4 || chain[0].Epoch != first || chain[1].Epoch != second || chain[1].Ended != buffer.EndClosed ||
		chain[2].Ended != buffer.EndClosed || chain[2].Next != 1 {
		t.Fatalf("the chain is %+v", chain)
	}
	if _, loss := withLoss(t, b); loss.Epoch != first || loss.From != 0 || loss.To != held.Len()-chain[0].Held.Len() || b.Stats().LostRecords != loss.To || !chain[0].Held.Contains(loss.To) {
		t.Errorf("the loss is %+v; %v was held, %v is left", loss, held, chain[0].Held)
	}
	if c, err := b.Cursor("c"); err != nil || string(c) != "62" {
		t.Errorf("cursor %q, %v", c, err)
	}
	b = open(t, crashed)
	if c, err := b.Cursor("c"); !errors.Is(err, buffer.ErrCursorLost) {
		t.Errorf("with its file the cursor is %q, %v", c, err)
	}
}

// TestPowerCutWhileTheChainIsRenewed: whichever file is there then has every epoch with records.
// An epoch does not begin in one whose name a power cut may take back.
func TestPowerCutWhileTheChainIsRenewed(t *testing.T) {
	o, first := filled(t, 20, 10_000)
	images := map[string]string{}
	var mu sync.Mutex // of images
	var unsynced atomic.Bool
	unsynced.Store(true)
	root := t.TempDir()
	o.SetStep(func(name string) error {
		switch name {
		case "mend", "mended", "renamed":
			mu.Lock()
			defer mu.Unlock()
			if images[name] == "" { // of the first attempt
				images[name] = filepath.Join(root, name)
				if err := image(o.Dir, images[name]); err != nil {
					return err
				}
			}
			if name == "renamed" && unsynced.Load() {
				return errors.New("the folder is not synced, as it was told")
			}
		}
		return nil
	})
	b := open(t, o)
	appendAt(t, b, 0, items(20, 21), nil)
	written(t, b)
	second := b.Epoch()
	restore := chainBreaks(t, o.Dir)
	if err := b.NewEpoch(set(0, 0)); err == nil {
		t.Fatal("the chain file was written")
	}
	if err := b.NewEpoch(set(0, 0)); err == nil || b.Epoch() != second {
		t.Errorf("an epoch began in a file whose name is not on disk: %v", err)
	}
	restore()
	mu.Lock()
	taken := maps.Clone(images)
	mu.Unlock()
	for name, dir := range taken {
		at := small(dir)
		b, err := buffer.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		if chain := b.Chain(); len(chain) != 3 || chain[0].Epoch != first || chain[0].Held.Len() != 20 ||
			chain[1].Epoch != second || chain[1].Held.String() != "[0,2)" || chain[1].Ended != buffer.EndUnclean {
			t.Errorf("at %q the chain is %+v", name, chain)
		}
		if _, err := os.Stat(filepath.Join(dir, "chain.db.tmp")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("at %q a file is left over: %v", name, err)
		}
		wantIDs(t, b, 0, 22)
		closeChecked(t, b)
	}
	if len(taken) != 3 {
		t.Errorf("there are images of %d moments", len(taken))
	}
	unsynced.Store(false)
	if err := b.NewEpoch(set(0, 0)); err != nil || b.Epoch() == second {
		t.Errorf("no epoch begins: %v", err)
	}
	moved(t, b)
	wantIDs(t, b, 0, 22)
}

// TestOpenWhileTheChainIsRenewed: who waits for the lock of the chain file gets that of one which
// is not there any more; the folder is in use still.
func TestOpenWhileTheChainIsRenewed(t *testing.T) {
	o := small(t.TempDir())
	closeChecked(t, open(t, o))
	path := filepath.Join(o.Dir, "chain.db")
	locked := func(path string) *os.File {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		return f
	}
	old := locked(path)
	got := make(chan error, 1)
	go func() {
		b, err := buffer.Open(o)
		if err == nil {
			err = errors.Join(errors.New("it is open"), b.Close())
		}
		got <- err
	}()
	within(t, "the other one has the file", func() bool { return opened(t, path) > 1 })
	if err := copyFile(path, path+".new"); err != nil {
		t.Fatal(err)
	}
	renewed := locked(path + ".new")
	defer renewed.Close()
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, buffer.ErrInUse) {
		t.Errorf("it opened, or says %v", err)
	}
}

// opened is how many descriptors of this process are of the file.
func opened(t *testing.T, path string) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatalf("this test needs /proc: %v", err)
	}
	for _, e := range fds {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && target == path {
			n++
		}
	}
	return n
}

// TestChainFileIsRenewedUnasked: a second later, also where nothing needs it.
func TestChainFileIsRenewedUnasked(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	restore := chainBreaks(t, o.Dir)
	appendAt(t, b, 0, items(0), nil)
	within(t, "it is told", func() bool { return b.Stats().ChainError != nil })
	within(t, "there is a new one", func() bool { return b.Stats().ChainError == nil })
	restore()
	closeChecked(t, b)
	b = open(t, o)
	if c := b.Chain()[0]; c.Ended != buffer.EndClosed || c.Next != 1 {
		t.Errorf("the epoch is %+v", c)
	}
}

// TestChainFileIsNotRenewedInAnotherFolder: where the folder is away, as that of a disk that is
// not mounted any more, nothing is made in what lies in its place, and nothing counts as removed.
func TestChainFileIsNotRenewedInAnotherFolder(t *testing.T) {
	o, _ := filled(t, 60, 10_000)
	away := o.Dir + ".away"
	var attempts atomic.Int64
	o.SetStep(func(name string) error {
		if name == "mend" && attempts.Add(1) == 1 {
			return errors.Join(os.Rename(o.Dir, away), os.Mkdir(o.Dir, 0o700))
		}
		return nil
	})
	b := open(t, o)
	restore := chainBreaks(t, o.Dir)
	appendAt(t, b, 0, items(60), nil)
	within(t, "a second attempt", func() bool { return attempts.Load() > 1 })
	_, end := givenOut(t, b)
	if st := b.Stats(); !errors.Is(end, buffer.ErrUnreadable) || st.LostRecords != 0 || st.ChainError == nil {
		t.Errorf("without the folder: %v; %+v", end, st)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "chain.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a chain file is in another folder: %v", err)
	}
	if err := errors.Join(os.RemoveAll(o.Dir), os.Rename(away, o.Dir)); err != nil {
		t.Fatal(err)
	}
	within(t, "all is as before", func() bool { st := b.Stats(); return st.ChainError == nil && st.Unreadable == nil })
	restore()
	wantIDs(t, b, 0, 61)
}
