package auditlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// ErrRefused is wrapped in the error of a [Store] that will never take these entries.
var ErrRefused = errors.New("the database refuses the entry")

// Store keeps the chain.
type Store interface {
	// AppendAudit adds entries at the end of the chain, in their order and in one
	// transaction, and returns its head. An entry whose id is there already is not added
	// again, so that a call whose outcome is unknown may be repeated.
	AppendAudit(ctx context.Context, list []Entry) (Head, error)
}

// Config configures a [Writer]. The zero value of each field but Store means its default.
type Config struct {
	Store Store
	// Waiting bounds the entries that wait in memory; 2048, of 6 KiB at most.
	Waiting int
	// Publish is how often the head is written to the process log when it has changed; 1h.
	Publish time.Duration
	// Span is the time over which refused attempts are summed up; 1m.
	Span time.Duration
	// Closing bounds the last writing; 5s.
	Closing time.Duration
	Logger  *slog.Logger     // default: none
	Metrics *Metrics         // default: counts that nobody sees
	Now     func() time.Time // default: time.Now
}

// Bounds of one write.
const (
	batch        = 128
	writeTimeout = 15 * time.Second
	retryMin     = 200 * time.Millisecond
	retryMax     = 15 * time.Second
	patient      = 5 // failures in 2 s that are not worth a word, as while tables are prepared
)

// Writer notes entries in memory and writes them in their order, while the database is
// away as soon as it is back.
type Writer struct {
	config Config
	log    *slog.Logger
	wake   chan struct{}

	mu       sync.Mutex
	waiting  []Entry
	lost     int // that found no room since the last entry that did
	lostFrom time.Time
	refusals refusals

	// Of Run alone.
	head, published Head
	retry           *backoff.ExponentialBackOff
	failed          int // writes since the last that succeeded
	singly          int // entries to write one by one, because one of them is refused
}

// NewWriter checks the configuration. Entries may be noted at once; they are written by
// [Writer.Run].
func NewWriter(c Config) (*Writer, error) {
	if c.Store == nil {
		return nil, errors.New("make audit log: Store is required")
	}
	c.Waiting = cmp.Or(c.Waiting, 2048)
	c.Publish, c.Span, c.Closing = cmp.Or(c.Publish, time.Hour), cmp.Or(c.Span, time.Minute), cmp.Or(c.Closing, 5*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Writer{
		config: c, log: c.Logger, wake: make(chan struct{}, 1), head: Start(), published: Start(),
		retry: backoff.NewExponentialBackOff(backoff.WithInitialInterval(retryMin),
			backoff.WithMaxInterval(retryMax), backoff.WithMaxElapsedTime(0)),
	}, nil
}

// Note notes an entry; a zero At is now. It never blocks and is safe for concurrent use.
// Attempts that did not succeed are bounded: beyond 20 in a minute they are counted, by
// action and result, and the counts are noted at its end.
func (w *Writer) Note(e Entry) {
	if e.At.IsZero() {
		e.At = w.config.Now()
	}
	e = e.Clean()
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Result != OK && !w.refusals.admit(e) {
		w.config.Metrics.summed.Inc()
		return
	}
	w.noteLocked(e)
}

// noteLocked puts an entry behind those that wait, with word of those before it that
// found no room.
func (w *Writer) noteLocked(e Entry) {
	if len(w.waiting)+min(w.lost, 1) >= w.config.Waiting {
		if w.lost == 0 {
			w.lostFrom = e.At
		}
		w.lost++
		w.config.Metrics.lost.Inc()
		return
	}
	w.tellLostLocked()
	w.waiting = append(w.waiting, e)
	w.config.Metrics.waiting.Set(float64(len(w.waiting)))
	select {
	case w.wake <- struct{}{}:
	default: // it is awake
	}
}

// ActionLost is the action of an entry that counts others which were not written.
const ActionLost = "lose audit entries"

// tellLostLocked notes how many entries were not, in their place.
func (w *Writer) tellLostLocked() {
	if w.lost == 0 {
		return
	}
	w.waiting = append(w.waiting, Entry{
		At: w.config.Now(), Who: "andon-collector", Role: "system", Action: ActionLost, Result: Failed,
		Detail: Detail(map[string]any{"entries": w.lost, "from": w.lostFrom}),
	}.Clean())
	w.lost = 0
}

// Run writes what is noted until ctx ends, and then what is left, within Closing. Its error
// says how many entries are lost at the end.
func (w *Writer) Run(ctx context.Context) error {
	spans, hours := time.NewTicker(w.config.Span), time.NewTicker(w.config.Publish)
	defer spans.Stop()
	defer hours.Stop()
	again := time.NewTimer(0) // of a write that failed
	again.Stop()
	for {
		select {
		case <-ctx.Done():
			return w.finish(ctx)
		case <-spans.C:
			w.sumUp()
		case <-hours.C:
			w.publish()
		case <-w.wake:
			if w.failed == 0 {
				w.writeAll(ctx, again)
			}
		case <-again.C:
			w.writeAll(ctx, again)
		}
	}
}

// writeAll writes all that waits, or sets the time to try again.
func (w *Writer) writeAll(ctx context.Context, again *time.Timer) {
	for {
		more, err := w.write(ctx)
		if err != nil {
			if ctx.Err() == nil {
				again.Reset(w.retry.NextBackOff())
			}
			return
		}
		if !more {
			return
		}
	}
}

// write writes the next entries and reports whether others wait.
func (w *Writer) write(ctx context.Context) (more bool, err error) {
	list := w.next()
	if len(list) == 0 {
		return false, nil
	}
	limit, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	head, err := w.config.Store.AppendAudit(limit, list)
	if errors.Is(err, ErrRefused) {
		w.refuse(list, err)
		return true, nil // the last one waits as a count of what is lost
	}
	if err != nil {
		w.config.Metrics.failures.Inc()
		if w.failed++; w.failed == patient && ctx.Err() == nil {
			w.log.Warn("the audit log cannot be written; entries wait in memory", "error", err)
		}
		return true, err
	}
	if w.failed >= patient {
		w.log.Info("the audit log is written again", "failed_writes", w.failed)
	}
	w.failed = 0
	w.retry.Reset()
	w.config.Metrics.written.Add(float64(len(list)))
	first := w.head.Seq < 0
	if w.head = head; first {
		w.publish()
	}
	return w.drop(len(list)), nil
}

// next returns the entries to write now.
func (w *Writer) next() []Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		w.tellLostLocked()
	}
	n := min(len(w.waiting), batch)
	if w.singly > 0 {
		n = min(n, 1)
	}
	return w.waiting[:n:n]
}

// drop forgets the first n entries, which are written, and reports whether others wait.
func (w *Writer) drop(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.singly = max(w.singly-n, 0)
	if w.waiting = w.waiting[n:]; len(w.waiting) == 0 {
		w.waiting = nil // and its memory
	}
	w.config.Metrics.waiting.Set(float64(len(w.waiting)))
	return len(w.waiting) > 0 || w.lost > 0
}

// refuse gives up an entry that the database will never take. Of several, which one that
// is shows when they are written one by one.
func (w *Writer) refuse(list []Entry, err error) {
	if len(list) > 1 {
		w.singly = len(list)
		return
	}
	w.log.Error("an entry of the audit log is given up", "action", list[0].Action, "error", err)
	w.config.Metrics.lost.Inc()
	w.mu.Lock()
	if w.lost == 0 {
		w.lostFrom = list[0].At
	}
	w.lost++
	w.mu.Unlock()
	w.drop(1)
}

// sumUp notes the attempts of the span that were only counted.
func (w *Writer) sumUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.refusals.end(w.config.Now()) {
		w.noteLocked(e)
	}
}

// publish writes the head to the process log when it is another than before: whoever
// keeps that log elsewhere can tell later whether the chain was changed.
func (w *Writer) publish() {
	if w.head == w.published || w.head.Seq < 0 {
		return
	}
	w.published = w.head
	w.log.Info(messageHead, "head", w.head.String())
}

// finish writes what is left, within the time that closing has.
func (w *Writer) finish(ctx context.Context) error {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.config.Closing)
	defer cancel()
	w.sumUp()
	var err error
	for more := true; more && err == nil; {
		more, err = w.write(last)
	}
	w.mu.Lock()
	left := len(w.waiting) + w.lost
	w.config.Metrics.lost.Add(float64(len(w.waiting)))
	w.mu.Unlock()
	w.publish()
	if left > 0 {
		return fmt.Errorf("write the audit log: %d entries are lost at the end: %w", left, err)
	}
	return nil
}
