package buffer

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// When the file system has no room left before the limit of the disk is reached, because
// others fill it, the files' size at that moment is the limit, and the policy applies to
// that: what is written then takes the place of what was let go of.

const (
	ballastFile = "ballast"
	spaceEvery  = 5 * time.Second // between two looks at whether there is room again
)

// ballastBytes is the size of a file that holds nothing. Where there is no room, it makes
// some for the loss records and deletes that make more.
func (o *Options) ballastBytes() int64 { return min(4<<20, o.MaxDisk/64) }

// outOfSpace notes that a write found no space. It is called with disk held.
func (b *Buffer) outOfSpace() {
	b.m.noSpace.Inc()
	released := b.dropBallast()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spaceDue = time.Now().Add(spaceEvery)
	size, _ := b.x.sizes()
	if b.cramped > 0 { // and what it has does not do: its free pages lie too far apart
		for _, f := range b.x.files {
			f.full = false // for the loss records, which are smaller
		}
		b.cramped = max(min(b.cramped, size)-b.shedStep(), size/2, 1)
		return
	}
	b.cramped = max(size, 1)
	b.late.say(slog.LevelError, "no space left on the disk: make some; until then the buffer keeps to the files that it has",
		"folder", b.o.Dir, "file_bytes", size, "max_disk", b.o.MaxDisk, "ballast_released", released)
}

// elsewhere ends the use of a file in which a write found no space while files cannot grow,
// and reports whether there is another one: how much is free in a file does not tell
// whether that is in one piece, or ever had blocks.
func (b *Buffer) elsewhere(f *file) bool {
	b.mu.Lock()
	other := b.cramped > 0 && slices.ContainsFunc(b.x.files, func(o *file) bool { return o != f && !o.sealed && !o.full && o.fault == nil })
	if size, _ := b.x.sizes(); other { // what was unlinked meanwhile, somebody else has taken
		b.cramped = max(min(b.cramped, size), 1)
	}
	fresh := f.fresh
	b.mu.Unlock()
	if !other {
		return false
	}
	b.crowded(f)
	if fresh {
		b.unlink(f)
	}
	return true
}

// lookForSpace ends the state of outOfSpace when the file system has room again, and makes
// the ballast where it is not there. It is called with disk held.
func (b *Buffer) lookForSpace(now time.Time) {
	b.mu.Lock()
	due := !b.spaceDue.IsZero() && !b.spaceDue.After(now)
	b.mu.Unlock()
	if !due {
		return
	}
	var system unix.Statfs_t
	err := unix.Statfs(b.o.Dir, &system)
	roomy := err == nil && system.Bavail*uint64(system.Bsize) > uint64(2*b.o.ballastBytes()+4*b.o.allocBytes())
	if roomy {
		if err := b.makeBallast(); diskFull(err) {
			roomy = false
		} else if err != nil && !b.ballastWarned {
			b.ballastWarned = true
			b.log.Warn("cannot make the ballast", "error", err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !roomy {
		b.spaceDue = now.Add(spaceEvery)
		return
	}
	b.spaceDue = time.Time{}
	if b.cramped > 0 {
		b.cramped = 0
		for _, f := range b.x.files {
			f.full = false // that it took nothing says nothing now
		}
		b.late.say(slog.LevelInfo, "the disk has space again", "folder", b.o.Dir)
		b.easeLocked()
	}
}

// makeBallast makes the file, if it is not there, with blocks of its own.
func (b *Buffer) makeBallast() error {
	want := b.o.ballastBytes()
	if info, err := os.Stat(b.path(ballastFile)); err == nil && info.Size() == want {
		return nil
	}
	f, err := os.OpenFile(b.path(ballastFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, want)
	if err != nil && !diskFull(err) { // not every file system can, and they say so in several ways
		err = fill(f, want)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(b.path(ballastFile)) // the next look makes it anew
	}
	return err
}

// reserveBlocks gives the chain file blocks of its own as far as it goes, and for a few
// dozen epochs, so that a start needs none on a full disk. It grows by holes otherwise.
// Where it cannot, the file is used as it is.
func reserveBlocks(path string) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		_ = unix.Fallocate(int(f.Fd()), 0, 0, max(info.Size(), 64<<10))
	}
}

func diskFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// fill writes n bytes where blocks cannot be had in another way.
func fill(f *os.File, n int64) error {
	some := make([]byte, 64<<10)
	for at := int64(0); at < n; at += int64(len(some)) {
		if _, err := f.WriteAt(some[:min(int64(len(some)), n-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// dropBallast gives the ballast's space back, and reports whether there was some.
func (b *Buffer) dropBallast() bool {
	err := os.Remove(b.path(ballastFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.log.Warn("cannot remove the ballast", "error", err)
	}
	return err == nil
}

// diskLocked is what the files may take now.
func (b *Buffer) diskLocked() int64 {
	if b.cramped > 0 {
		return min(b.cramped, b.o.MaxDisk)
	}
	return b.o.MaxDisk
}

// batchLocked is how many stored bytes go into one transaction now.
func (b *Buffer) batchLocked() int64 {
	if b.cramped > 0 {
		return min(b.o.maxBatch(), b.o.allocBytes())
	}
	return b.o.maxBatch()
}

// quotaLocked is what records in the files may take now, before older ones go.
func (b *Buffer) quotaLocked() int64 {
	if b.cramped > 0 { // the files cannot grow: what is left of them is for deletes
		return min(b.cramped-b.cramped/16, b.limitOf(Bulk))
	}
	return b.limitOf(Bulk)
}

// waitsLocked reports whether a record waits until loss records are safe, and what they
// tell of is deleted: only then there is space for it.
func (b *Buffer) waitsLocked(e *entry) bool {
	return b.cramped > 0 && b.x.doomed > 0 && e.class == Bulk && !e.bound && e.cursor == nil
}

// comesFirst reports whether e is an alarm that is written before all else where files cannot
// grow.
func (e *entry) comesFirst() bool { return e.class == Alarm && e.stage == queued && !e.bound }
