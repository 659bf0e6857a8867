package replay

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"andon.internal/agent/source"
	"andon.internal/shared/telemetry"
)

// The lines of one engine are read a window at a time; the windows of all engines
// share allWindows, but none is smaller than leastWindow.
const (
	allWindows  = 1 << 20
	leastWindow = 1 << 10
	mostWindow  = 32 << 10
)

// merge gives the lines of all engines in order of time, those of one time in order
// of the engines. It holds one line of each engine and a window of the file behind it.
type merge struct {
	file  io.ReaderAt
	index *index
	lanes []lane // one an engine, in the index's order
	heap  []int  // lanes that have a line, least first
	light bool   // lines are read without their values

	windowBytes int64
}

// lane reads the lines of one engine.
type lane struct {
	engine *engine
	row    // the line at hand
	line   []byte
	number uint32 // of the line at hand
	left   int64  // lines not done, with the one at hand
	onTest bool

	stretch int    // being read
	offset  int64  // in the file, behind the window
	rest    int64  // bytes of the stretch behind the window
	window  []byte // what was read and is not used
	room    []byte // memory of the window
}

// begun reports whether some of the engine's lines are done.
func (l *lane) begun() bool { return l.left < l.engine.lines }

// begin starts from the first line. light passes over lines faster, without their
// values, until wantValues. After an error the merge is empty.
func (m *merge) begin(file io.ReaderAt, x *index, light bool) error {
	*m = merge{file: file, index: x, lanes: make([]lane, len(x.engines)), light: light}
	m.windowBytes = int64(min(max(allWindows/len(x.engines), leastWindow), mostWindow))
	heap := make([]int, 0, len(m.lanes))
	for i := range m.lanes {
		l := &m.lanes[i]
		l.engine, l.left, l.stretch = &x.engines[i], x.engines[i].lines, -1
		if err := m.next(l); err != nil {
			return err
		}
		heap = append(heap, i)
	}
	m.heap = heap
	for i := len(heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return nil
}

func (m *merge) empty() bool { return len(m.heap) == 0 }

// top returns the lane of the next line. The merge must not be empty.
func (m *merge) top() *lane { return &m.lanes[m.heap[0]] }

// advance is done with the line at the top. After an error it may be called again:
// that line is done, and the one behind it could not be read.
func (m *merge) advance() error {
	l := m.top()
	if l.left == 1 {
		l.left = 0
		last := len(m.heap) - 1
		m.heap[0] = m.heap[last]
		m.heap = m.heap[:last]
	} else {
		if err := m.next(l); err != nil {
			return err
		}
		l.left--
	}
	m.down(0)
	return nil
}

// wantValues reads the values of the lines at hand, and of all that follow.
func (m *merge) wantValues() error {
	if !m.light {
		return nil
	}
	m.light = false
	for _, i := range m.heap {
		if err := m.parse(&m.lanes[i], m.lanes[i].line, m.lanes[i].number); err != nil {
			return err
		}
	}
	return nil
}

// next reads the lane's next line. After an error it may be called again, and the
// line at hand is void.
func (m *merge) next(l *lane) error {
	number := l.number + 1
	if len(l.window) == 0 && l.rest == 0 {
		l.stretch++
		s := &l.engine.stretches[l.stretch]
		l.offset, l.rest, number = s.offset, int64(s.length), s.line
		l.number = number - 1
	}
	end := bytes.IndexByte(l.window, '\n') + 1
	for end == 0 && l.rest > 0 {
		if err := l.fill(m.file, m.windowBytes); err != nil {
			return err
		}
		end = bytes.IndexByte(l.window, '\n') + 1
	}
	if end == 0 {
		end = len(l.window) // the last line of the file, without an end
	}
	line := l.window[:end]
	if err := m.parse(l, line, number); err != nil {
		return err
	}
	l.line, l.number, l.window = line, number, l.window[end:]
	return nil
}

func (m *merge) parse(l *lane, line []byte, number uint32) error {
	if l.values == nil {
		l.values = make([]telemetry.Value, m.index.format.signals())
	}
	if err := m.index.format.parse(line, &l.row, !m.light); err != nil {
		return fmt.Errorf("%w: line %d of the replay file was changed while it was read (%w); put the file back",
			source.ErrRefused, number, err)
	}
	return nil
}

// fill reads more of the stretch into the window.
func (l *lane) fill(file io.ReaderAt, most int64) error {
	n := int(min(l.rest, most))
	had := len(l.window)
	room := l.room
	if cap(room) < had+n {
		room = make([]byte, had+n)
	}
	// The line at hand may lie in the same memory, so it is void from here on; the
	// values in it have been read.
	room = room[:had+n]
	copy(room, l.window)
	if _, err := file.ReadAt(room[had:], l.offset); err != nil {
		l.room, l.window = room, room[:had]
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: the replay file has become shorter; put it back", source.ErrRefused)
		}
		return fmt.Errorf("read replay file: %w", err)
	}
	l.room, l.window = room, room
	l.offset += int64(n)
	l.rest -= int64(n)
	return nil
}

// down restores the order of the heap from place i on.
func (m *merge) down(i int) {
	h := m.heap
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h); c++ {
			if m.before(h[c], h[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

func (m *merge) before(a, b int) bool {
	if x, y := m.lanes[a].at, m.lanes[b].at; x != y {
		return x < y
	}
	return a < b
}
