package store

import (
	"strconv"
	"sync"
)

// wal is how far the log of the database behind the connections was seen to be on disk. It
// never ends before that again, whatever crashes, unless the database was put back to an
// earlier state: a backup or snapshot that was started as it is keeps its id and its
// timeline. One that has written more since than was lost, before we speak to it, is not
// found this way. Safe for concurrent use.
type wal struct {
	mu sync.Mutex
	mark
}

// mark is a wal at one moment.
type mark struct {
	of       string // id and timeline
	flushed  uint64 // bytes of log that were on disk
	setbacks int    // how often it was found to end earlier
}

// now returns the mark against which a transaction is compared that begins behind it.
func (w *wal) now() mark {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mark
}

// identity names the database that answered a transaction with its id and timeline and the
// end of its log. before was taken when it began: of transactions at the same time the
// one that answers last may have looked first.
func (w *wal) identity(of string, flushed uint64, before mark) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case of != w.of:
		w.mark = mark{of, flushed, w.setbacks}
	case before.of != of: // of another log: another transaction found that first
	case before.setbacks != w.setbacks: // maybe of the server that is no more
	case flushed < before.flushed:
		w.flushed = flushed
		w.setbacks++
	default:
		w.flushed = max(w.flushed, flushed)
	}
	if w.setbacks == 0 {
		return of
	}
	return of + " set back " + strconv.Itoa(w.setbacks)
}
