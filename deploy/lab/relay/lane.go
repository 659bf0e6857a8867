package relay

import (
	"container/heap"
	"sync"
	"time"
)

// waiting bounds the frames of a direction: about what a modem buffers.
const waiting = 4096

// lane is the frames of one direction that wait for their time. Its methods are safe for
// concurrent use.
type lane struct {
	mu     sync.Mutex
	frames frames
	pushed uint64
	newest uint64 // the latest of those that left, by when they came
	ended  bool
	wake   chan struct{} // has room for one
}

func newLane() *lane { return &lane{wake: make(chan struct{}, 1)} }

// push adds a frame that leaves at due. It reports whether there was room.
func (l *lane) push(due time.Time, data []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.frames) >= waiting {
		return false
	}
	l.pushed++
	heap.Push(&l.frames, frame{due, l.pushed, data})
	l.wakeLocked()
	return true
}

// pop waits for the next frame that is due. It reports whether that one was overtaken by
// a frame that came behind it. ok is false after the end.
func (l *lane) pop() (data []byte, overtaken, ok bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		l.mu.Lock()
		if l.ended {
			l.mu.Unlock()
			return nil, false, false
		}
		pause := time.Hour
		if len(l.frames) > 0 {
			pause = time.Until(l.frames[0].due)
		}
		if pause <= 0 {
			f := heap.Pop(&l.frames).(frame)
			overtaken = f.number < l.newest
			l.newest = max(l.newest, f.number)
			l.mu.Unlock()
			return f.data, overtaken, true
		}
		l.mu.Unlock()
		timer.Reset(pause)
		select {
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// end ends the lane: pop returns.
func (l *lane) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.wakeLocked()
}

func (l *lane) wakeLocked() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

type frame struct {
	due    time.Time
	number uint64
	data   []byte
}

// frames is a heap by time, and by number among those that are due together.
type frames []frame

func (f frames) Len() int      { return len(f) }
func (f frames) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *frames) Push(x any)   { *f = append(*f, x.(frame)) }
func (f frames) Less(i, j int) bool {
	return f[i].due.Before(f[j].due) || f[i].due.Equal(f[j].due) && f[i].number < f[j].number
}

func (f *frames) Pop() any {
	last := (*f)[len(*f)-1]
	(*f)[len(*f)-1] = frame{}
	*f = (*f)[:len(*f)-1]
	return last
}
