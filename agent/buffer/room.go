package buffer

import (
	"fmt"
	"log/slog"
	"time"
)

// Policy says what is lost when records find no room: see [Options]. A source that can
// be read again, one that appends with a cursor, waits under each of them. Alarms have
// room of their own beyond the quota, that others cannot fill; under DropOldest and Thin the
// oldest of them are let go of when nothing else is left. See [Buffer.Spare].
type Policy uint8

// The policies.
const (
	DropOldest Policy = iota // the oldest records of class Bulk
	DropNewest               // what is appended
	Thin                     // of the records of class Bulk, oldest first, all but every k-th; in memory the oldest
)

func (p Policy) String() string {
	switch p {
	case DropOldest:
		return "drop-oldest"
	case DropNewest:
		return "drop-newest"
	case Thin:
		return "thin"
	}
	return "unknown"
}

// ParsePolicy is the inverse of String.
func ParsePolicy(s string) (Policy, error) {
	for p := DropOldest; p <= Thin; p++ {
		if p.String() == s {
			return p, nil
		}
	}
	return 0, fmt.Errorf("%q is none of drop-oldest, drop-newest, thin", s)
}

// Bounds of Options.Quota. What is above it is for alarms, loss records and the pages that
// deletes need.
const (
	MinQuota = 0.5
	MaxQuota = 0.9
)

// limitOf returns how many bytes of pages records up to this class may take; the rest
// is for those above and for the pages that deletes need.
func (b *Buffer) limitOf(c Class) int64 {
	part := b.o.Quota
	if c == Alarm {
		part += (1 - part) * 2 / 3
	}
	return int64(float64(b.o.MaxDisk) * part)
}

// memoryOf is how many bytes of memory records up to this class may take.
func (b *Buffer) memoryOf(c Class) int64 {
	if c == Alarm {
		return b.o.MaxMemory
	}
	return b.o.MaxMemory - b.o.MaxMemory/16
}

// roomLocked reports whether records of that size fit now. What is retained only, or
// cached only, makes room for them.
func (b *Buffer) roomLocked(space, memory int64, c Class) bool {
	if b.full && c != Alarm {
		return false
	}
	limit := b.limitOf(c)
	for b.x.used+int64(b.x.unwritten.Space)+space > limit {
		if !b.expireLocked(expireAtOnce) {
			return false
		}
	}
	return b.x.evict(memory, b.memoryOf(c))
}

// setFullLocked makes appends wait or lose something until there is a little more room
// than one of them needs, so that a full buffer loses stretches and not every other
// record. It lasts at least to the next write or acknowledgement.
func (b *Buffer) setFullLocked() {
	if !b.full {
		b.full = true
		b.space = make(chan struct{})
		b.late.say(slog.LevelWarn, "buffer is full", "policy", b.o.Policy.String(), "disk_bytes", b.x.used, "memory_bytes", b.x.memory)
	}
	b.wake()
}

// easeLocked ends the full state where there is room again, or where there would be
// without what is only retained.
func (b *Buffer) easeLocked() {
	b.stuffed = false // to be found out again
	b.catchUpLocked()
	if !b.full || b.x.memory-b.x.cacheSize > b.o.MaxMemory/4*3 {
		return
	}
	for b.x.used+int64(b.x.unwritten.Space) > b.quotaLocked()/100*95 {
		if !b.expireLocked(expireAtOnce) {
			return
		}
	}
	b.full = false
	b.lossWait = 0
	close(b.space)
	b.late.say(slog.LevelInfo, "buffer has room again")
}

// behindLocked reports whether an append with a cursor has to wait until the disk has caught
// up: a source that can be read again takes half of the memory at most, and so leaves the
// other half to readings that come once.
func (b *Buffer) behindLocked(memory int64) bool {
	if unwritten := b.x.memory - b.x.cacheSize; unwritten == 0 || unwritten+memory <= b.o.MaxMemory/2 {
		return false
	}
	if b.behind == nil {
		b.behind = make(chan struct{})
	}
	b.wake()
	return true
}

// catchUpLocked ends that when the disk has.
func (b *Buffer) catchUpLocked() {
	if b.behind != nil && (b.closed || b.x.memory-b.x.cacheSize <= b.o.MaxMemory/4) {
		close(b.behind)
		b.behind = nil
	}
}

// pressedLocked reports whether so much is unwritten that it is not to linger.
func (b *Buffer) pressedLocked() bool { return b.x.memory-b.x.cacheSize > b.o.MaxMemory/4 }

// ringLocked makes room in memory for records that are to be kept at the cost of older
// ones: the quota of the disk is seen to when they are written. It reports whether
// there is room.
func (b *Buffer) ringLocked(space, memory int64, c Class, now time.Time) bool {
	if b.o.Policy == DropNewest || b.stuffed || b.x.used-b.x.doomed+space > b.limitOf(Alarm) {
		return false
	}
	limit := b.memoryOf(c)
	if b.x.evict(memory, limit) {
		return true
	}
	b.dropQueuedLocked(now, false, func() bool { return b.x.memory+memory <= limit-limit/16 })
	if b.x.memory+memory > limit { // nothing is left but what lies around alarms
		b.dropQueuedLocked(now, true, func() bool { return b.x.memory+memory <= limit-limit/8 })
	}
	return b.x.memory+memory <= limit
}
