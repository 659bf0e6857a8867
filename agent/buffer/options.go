package buffer

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	bolt "go.etcd.io/bbolt"

	"andon.internal/agent/buffer/internal/format"
)

// Options configures a buffer. The zero value of each field but Dir is its default.
type Options struct {
	Dir    string   // required; made when it does not exist
	BootID [16]byte // the machine's boot id, kept in the epoch's header

	Linger      time.Duration // how long a record may be in memory only; 100 ms
	AlarmLinger time.Duration // the same for class Alarm; 20 ms, never more than Linger
	WriteAhead  bool          // give out nothing that is not on disk
	Retain      time.Duration // keep acknowledged records this long; implies WriteAhead
	LiveAge     time.Duration // how long a record counts as live; 10 s

	MaxDisk     int64 // bytes of all record files; 1 GiB
	MaxMemory   int64 // bytes of records in memory; 16 MiB
	MaxRecord   int   // bytes of one record's Data; 256 KiB
	RotateBytes int64 // size at which a new file is begun; 64 MiB

	Policy   Policy  // what is lost when no room is left; DropOldest
	ThinKeep int     // policy Thin keeps one record of so many; 10
	Quota    float64 // the part of MaxDisk that records may take; 0.85

	// Child is the command line of a process that calls [Child]: it looks at files that were
	// not closed, so that whatever is in them cannot take this process with it. Without it
	// they are looked at here.
	Child []string

	Logger  *slog.Logger // nothing is logged without one
	Metrics *Metrics     // nothing is registered without one

	// step, where a test sets it, is called before each step that reaches the disk
	// and can fail it.
	step func(name string) error

	childLimit    time.Duration // where a test sets it, how long a child may take
	childrenLimit time.Duration // and all of a start
}

// minRotate keeps a record file worth its fixed cost.
const minRotate = 256 << 10

// withDefaults returns o with every zero field set, or an error that says which
// field cannot be used.
func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("buffer: no folder is configured")
	}
	if o.Linger < 0 || o.AlarmLinger < 0 || o.Retain < 0 || o.LiveAge < 0 {
		return o, errors.New("buffer: a negative duration is configured")
	}
	if o.MaxDisk < 0 || o.MaxMemory < 0 || o.MaxRecord < 0 || o.RotateBytes < 0 {
		return o, errors.New("buffer: a negative size is configured")
	}
	o.Linger = cmp.Or(o.Linger, 100*time.Millisecond)
	o.AlarmLinger = min(cmp.Or(o.AlarmLinger, 20*time.Millisecond), o.Linger)
	o.LiveAge = cmp.Or(o.LiveAge, 10*time.Second)
	o.MaxDisk = cmp.Or(o.MaxDisk, 1<<30)
	o.MaxMemory = cmp.Or(o.MaxMemory, 16<<20)
	o.MaxRecord = cmp.Or(o.MaxRecord, 256<<10)
	o.RotateBytes = cmp.Or(o.RotateBytes, max(min(64<<20, o.MaxDisk/8), minRotate))
	o.WriteAhead = o.WriteAhead || o.Retain > 0
	o.ThinKeep = cmp.Or(o.ThinKeep, 10)
	o.Quota = cmp.Or(o.Quota, 0.85)
	if o.Policy > Thin || o.ThinKeep < 2 || !(o.Quota >= MinQuota && o.Quota <= MaxQuota) {
		return o, fmt.Errorf("buffer: policy %v, one of %d is kept, a quota of %v: it is from %v to %v, and one of 2 or more is kept",
			o.Policy, o.ThinKeep, o.Quota, MinQuota, MaxQuota)
	}
	if o.RotateBytes < minRotate || o.MaxDisk < 2*o.RotateBytes {
		return o, fmt.Errorf("buffer: a disk limit of %d bytes with files of %d: files have at least %d, and two must fit",
			o.MaxDisk, o.RotateBytes, minRotate)
	}
	if o.MaxRecord > format.RecordLimit {
		return o, fmt.Errorf("buffer: a record limit of %d bytes is above %d", o.MaxRecord, format.RecordLimit)
	}
	if o.MaxMemory < 4*int64(o.MaxRecord) || o.RotateBytes < 4*int64(o.MaxRecord) {
		return o, fmt.Errorf("buffer: memory of %d bytes and files of %d must each hold 4 records of %d", o.MaxMemory, o.RotateBytes, o.MaxRecord)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	return o, nil
}

// maxAppend is how many bytes one Append may bring, in memory or on disk: it goes into
// one transaction, which must fit a file.
func (o *Options) maxAppend() int64 { return min(o.MaxMemory/2, o.RotateBytes/4+int64(o.MaxRecord)) }

// maxBatch is how many stored bytes go into one transaction, which has them in memory three
// times: as they came, encoded, and in bbolt's pages.
func (o *Options) maxBatch() int64 { return min(2<<20, o.RotateBytes/16) }

// maxPages is in how many pages one transaction deletes: it has each in memory, and anew.
func (o *Options) maxPages() uint64 { return uint64(o.maxBatch() / format.PageSize * 2) }

// allocBytes is by how much a file grows at least.
func (o *Options) allocBytes() int64 { return min(2<<20, o.RotateBytes/32) }

// growBytes is by how much a file of that size grows at once, so that it stays within
// RotateBytes. Each growth is one more sync; what is not written yet takes no space.
func (o *Options) growBytes(size int64) int64 {
	return max(o.allocBytes(), min(o.RotateBytes/4, o.RotateBytes-o.maxBatch()*5/4-size))
}

// fillBytes is the size from which on a file takes no further batch, so that it and
// its map stay within RotateBytes.
func (o *Options) fillBytes() int64 { return o.RotateBytes - o.maxBatch()*5/4 - o.allocBytes() }

// files are the options of a record file. It is mapped whole from the start: mapped anew as it
// grows, bbolt copies all that the transaction holds.
func (o *Options) files() bolt.Options {
	return bolt.Options{Timeout: time.Second, MaxSize: int(o.maxFileBytes()), InitialMmapSize: int(o.RotateBytes)}
}

// maxFileBytes is the size beyond which the database itself refuses to grow.
func (o *Options) maxFileBytes() int64 { return o.RotateBytes + o.RotateBytes/8 + 2*int64(o.MaxRecord) }

// markStep is how closely the times of live records are known.
func (o *Options) markStep() time.Duration { return o.LiveAge / 200 }
