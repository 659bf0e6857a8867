package buffer

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxLate is how many lines wait for a log at most.
const maxLate = 256

// lateLog is for what is logged with Buffer.mu held. A log may take its time, and all of it where
// whoever reads it writes to the disk that is stuck: no Append is to wait for that. Beyond
// maxLate lines those that come are dropped, and counted.
type lateLog struct {
	to      slog.Handler
	dropped prometheus.Counter

	mu      sync.Mutex
	lines   []slog.Record
	writing chan struct{} // is closed when no line waits; nil when none does
}

// say has a line logged, in the order of the calls. It does not wait.
func (l *lateLog) say(level slog.Level, message string, args ...any) {
	if !l.to.Enabled(context.Background(), level) {
		return
	}
	r := slog.NewRecord(time.Now(), level, message, 0)
	r.Add(args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == maxLate {
		l.dropped.Inc()
		return
	}
	l.lines = append(l.lines, r)
	if l.writing == nil {
		l.writing = make(chan struct{})
		go l.write(l.writing)
	}
}

// write logs what waits, and ends.
func (l *lateLog) write(done chan struct{}) {
	defer close(done)
	for {
		l.mu.Lock()
		if len(l.lines) == 0 {
			l.lines, l.writing = nil, nil
			l.mu.Unlock()
			return
		}
		r := l.lines[0]
		l.lines = l.lines[1:]
		l.mu.Unlock()
		_ = l.to.Handle(context.Background(), r) // as a Logger does
	}
}

// wait returns when all that was said before is logged.
func (l *lateLog) wait() {
	l.mu.Lock()
	writing := l.writing
	l.mu.Unlock()
	if writing != nil {
		<-writing
	}
}
