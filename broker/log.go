package broker

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// libraryLog passes the MQTT library's warnings and errors on. It leaves out what
// the library logs of whole packets (payloads, passwords), cuts long texts, and says
// the same thing at most once in 10 s: a client must not be able to fill the log.
type libraryLog struct {
	next slog.Handler
	seen *repeats
}

// repeats counts messages, of which there must be few: the library has some dozens,
// all constant.
type repeats struct {
	mu   sync.Mutex
	last map[string]time.Time
	more map[string]int
}

func newRepeats() *repeats {
	return &repeats{last: map[string]time.Time{}, more: map[string]int{}}
}

const repeatAfter = 10 * time.Second

func newLibraryLog(log *slog.Logger) *slog.Logger {
	return slog.New(&libraryLog{
		next: log.With("library", "mochi-mqtt").Handler(),
		seen: newRepeats(),
	})
}

// Enabled lets warnings and errors through.
func (h *libraryLog) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.next.Enabled(ctx, level)
}

// Handle writes the record without packets, or counts it as a repeat.
func (h *libraryLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "error processing packet" {
		return nil // which ends the session, and is told with it
	}
	more, tell := h.seen.tell(r.Message, r.Time)
	if !tell {
		return nil
	}
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "pk", "packet", "will":
			return true
		}
		out.AddAttrs(slog.String(a.Key, clip(a.Value.String())))
		return true
	})
	if more > 0 {
		out.AddAttrs(slog.Int("repeated", more))
	}
	return h.next.Handle(ctx, out)
}

// tell reports whether a message is to be written at now, and how often it was not.
func (r *repeats) tell(message string, now time.Time) (more int, tell bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.last[message]; ok && now.Sub(last) < repeatAfter {
		r.more[message]++
		return 0, false
	}
	more = r.more[message]
	delete(r.more, message)
	r.last[message] = now
	return more, true
}

// WithAttrs and WithGroup keep the repeats in common.
func (h *libraryLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &libraryLog{h.next.WithAttrs(attrs), h.seen}
}

func (h *libraryLog) WithGroup(name string) slog.Handler {
	return &libraryLog{h.next.WithGroup(name), h.seen}
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}
