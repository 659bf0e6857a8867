package web

import (
	"context"
	"time"
)

// The sentinel repeats all open alarms every 10 s.
const (
	// repeatedWithin is after what time of hearing it all open alarms have come.
	repeatedWithin = 12 * time.Second
	// missedAfter is after what time of hearing it an alarm that it does not speak of is
	// over: three repetitions left it out.
	missedAfter = 35 * time.Second
)

// keepAlarms keeps the picture's open alarms true until ctx ends: those of the time before
// this process are read from the journal, or heard when the sentinel repeats them, and
// those whose end was not heard are closed. A sentinel that is away, or without its
// journal, tells neither.
func (w *Web) keepAlarms(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		now := w.config.Now()
		told := w.links.toldFor(now)
		if !w.links.alarmsUnknown().IsZero() && (w.recallAlarms(ctx) || told >= repeatedWithin) {
			w.links.setUnknown(time.Time{})
			w.hub.tell()
		}
		if told >= missedAfter {
			w.sources.Plant.Unrepeated(now, now.Add(-missedAfter))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// recallAlarms brings the journal's open alarms into the picture. What the sentinel has
// told of them since is newer and stays.
func (w *Web) recallAlarms(ctx context.Context) bool {
	limited, cancel := context.WithTimeout(ctx, w.config.Timeout)
	defer cancel()
	if w.links.databaseAway() != nil {
		return false // and that is logged
	}
	list, err := w.sources.Journal.OpenAlarms(limited)
	if err != nil {
		_ = w.failed(limited, "open alarms", err) // it is asked again
		return false
	}
	for i := range list {
		w.sources.Plant.Alarm(w.config.Now(), list[i])
	}
	return true
}
