package state

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// ErrNoStore is returned while there is no store to write to: see [Front.Attach].
var ErrNoStore = errors.New("there is no disk for it")

// The defaults of FrontOptions, and how long the last write may take at the end.
const (
	DefaultPatience = 50 * time.Millisecond
	DefaultNoteIn   = 25 * time.Minute // what is noted every 10 minutes is written every 30
	countPatience   = time.Second
	closePatience   = 10 * time.Second
	retryMin        = 100 * time.Millisecond
	retryMax        = 5 * time.Second
)

// FrontOptions of a front. The zero value works.
type FrontOptions struct {
	// Patience is how long a change waits until it is on disk; [DefaultPatience].
	Patience time.Duration
	NoteIn   time.Duration // how long what is noted waits at the most; [DefaultNoteIn]
	Logger   *slog.Logger  // default: none
}

// Front stands before a [Store], so that nobody waits for a disk that is stuck, and so
// that there need not be one: the store is attached when it can be opened.
//
// A change is on disk when Put returns, or, where the disk takes longer than the
// patience, some time later: it is written behind, in the order of the changes, again
// and again until it succeeds. From then on nobody waits at all until the disk has caught
// up, so that a stuck one costs one wait. What was not written yet a crash takes; it never
// leaves half a change. All methods are safe for concurrent use.
type Front struct {
	patience time.Duration
	noteIn   time.Duration
	log      *slog.Logger
	kick     chan struct{} // capacity 1: there is something to write
	stop     chan struct{} // closed by Close
	done     chan struct{} // closed by the writer

	mu       sync.Mutex
	store    *Store // nil before Attach
	closed   bool
	counters map[string]uint64
	pending  changes     // not on disk yet
	notes    *time.Timer // wakes the writer for what is noted; nil while nothing is
	last     uint64      // number of the latest change
	written  uint64      // changes up to here are on disk
	turn     chan struct{}
	late     bool // the disk has not caught up: nobody waits for it
	since    time.Time
	err      error // of the last write
	told     bool  // that it failed was logged
}

// NewFront returns a front without a store. Close ends it.
func NewFront(o FrontOptions) *Front {
	f := &Front{
		patience: cmp.Or(o.Patience, DefaultPatience), noteIn: cmp.Or(o.NoteIn, DefaultNoteIn), log: o.Logger,
		kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		counters: map[string]uint64{}, pending: newChanges(), turn: make(chan struct{}),
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	go f.write()
	return f
}

// Attach gives the front its store, which it closes at its end. Counters go on at the
// higher of what the store has and what was given out before. It must be called at most
// once; on an error the store is not attached.
func (f *Front) Attach(s *Store) error {
	stored, err := s.counted()
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrClosed
	}
	f.store = s
	for name, n := range stored {
		if f.counters[name] < n {
			f.counters[name] = n
		}
	}
	for name, n := range f.counters {
		if stored[name] < n {
			f.pending.counters[name] = n
		}
	}
	if !f.pending.empty() {
		f.last++
		f.wake()
	}
	return nil
}

// Attached reports whether there is a store.
func (f *Front) Attached() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store != nil
}

// Behind returns since when changes wait to be written, and why where a write failed; the
// zero time when none does.
func (f *Front) Behind() (since time.Time, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.late {
		return time.Time{}, nil
	}
	return f.since, f.err
}

// Get returns a copy of the value, or nil when there is none, as while there is no store.
func (f *Front) Get(bucket, key string) ([]byte, error) {
	f.mu.Lock()
	s, closed := f.store, f.closed
	v, waits := f.pending.values[place{bucket, key}]
	f.mu.Unlock()
	switch {
	case closed:
		return nil, fmt.Errorf("read state %s/%s: %w", bucket, key, ErrClosed)
	case waits:
		return slices.Clone(v), nil
	case s == nil:
		return nil, nil
	}
	return s.Get(bucket, key)
}

// Put stores the value under the key: see [Front]. The error is ErrNoStore while there is
// no store, and then nothing was taken.
func (f *Front) Put(bucket, key string, value []byte) error {
	return f.change("write", bucket, key, append([]byte{}, value...))
}

// Delete removes the key, as Put stores one.
func (f *Front) Delete(bucket, key string) error { return f.change("delete", bucket, key, nil) }

// Note stores the value under the key with the next change that is written, and after
// FrontOptions.NoteIn at the latest: a transaction wears a card as much for one value as for ten.
// Until then a crash takes it; Close writes it. The error is that of Put.
func (f *Front) Note(bucket, key string, value []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.takeLocked("note", bucket, key, append([]byte{}, value...)); err != nil {
		return err
	}
	f.last++
	if f.notes == nil {
		f.notes = time.AfterFunc(f.noteIn, f.wake)
	}
	if f.late { // the disk is at work on what waits
		f.wake()
	}
	return nil
}

func (f *Front) change(what, bucket, key string, value []byte) error {
	f.mu.Lock()
	if err := f.takeLocked(what, bucket, key, value); err != nil {
		f.mu.Unlock()
		return err
	}
	n := f.tookLocked()
	f.mu.Unlock()
	f.await(n, f.patience)
	return nil
}

// takeLocked puts a value with what waits; nil is one that goes.
func (f *Front) takeLocked(what, bucket, key string, value []byte) error {
	var err error
	switch {
	case f.closed:
		err = ErrClosed
	case f.store == nil:
		err = ErrNoStore
	case bucket == "" || key == "":
		err = errors.New("a name is empty")
	}
	if err != nil {
		return fmt.Errorf("%s state %s/%s: %w", what, bucket, key, err)
	}
	f.pending.values[place{bucket, key}] = value
	return nil
}

// tookLocked numbers a change and has it written.
func (f *Front) tookLocked() uint64 {
	f.last++
	f.wake()
	return f.last
}

func (f *Front) wake() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// await waits until a change is on disk, at most for patience, and not at all where the
// disk is late already. It reports whether the change is.
func (f *Front) await(n uint64, patience time.Duration) bool {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		f.mu.Lock()
		turn, there, late := f.turn, f.written >= n, f.late
		f.mu.Unlock()
		if there || late {
			return there
		}
		select {
		case <-turn:
		case <-limit.C:
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.written >= n {
				return true
			}
			f.lateLocked()
			return false
		}
	}
}

// lateLocked begins the time in which nobody waits for the disk.
func (f *Front) lateLocked() {
	if !f.late {
		f.late, f.since = true, time.Now()
	}
}

// Next adds one to the named counter and returns the new value: no value is ever returned
// twice, also after a crash. It is on disk by then, or, where there is no disk or that is
// stuck, so far above every value that is on disk that no counting reaches it: what comes
// after a crash goes on below it, or by the clock above it.
func (f *Front) Next(counter string) (uint64, error) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return 0, fmt.Errorf("count %s: %w", counter, ErrClosed)
	}
	n := f.counters[counter] + 1
	if f.store == nil || f.late {
		n = f.leapLocked(counter)
		f.mu.Unlock()
		return n, nil
	}
	f.setLocked(counter, n)
	change := f.tookLocked()
	f.mu.Unlock()
	if f.await(change, countPatience) {
		return n, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.leapLocked(counter), nil
}

func (f *Front) setLocked(counter string, n uint64) {
	f.counters[counter] = n
	if f.store != nil {
		f.pending.counters[counter] = n
	}
}

// leapLocked takes a value that is not on disk: the seconds of the clock above 16 bits of
// chance, or where the clock is behind, chance above the last one. It fits the 53 bits of
// a JSON number.
func (f *Front) leapLocked(counter string) uint64 {
	seconds := uint64(max(time.Now().Unix(), 0)) & (1<<36 - 1)
	n := max(f.counters[counter], seconds<<16) + 1 + rand.Uint64N(1<<16)
	f.setLocked(counter, n)
	if f.store != nil {
		f.tookLocked()
	}
	return n
}
