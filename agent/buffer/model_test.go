package buffer_test

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

// model is the reference that a simulated buffer is compared with. Every record has an
// id of its own, which its content spells.
type model struct {
	mu       sync.Mutex
	size     map[int]int        // of every record that may still be there
	given    map[int]buffer.Key // the name under which it was given out, for ever
	names    map[buffer.Key]int // the other way round, also of those a crash took
	acked    map[int]bool
	durable  map[int]bool // known to be on disk
	cursorOf map[int]int  // the cursor that a record was appended with

	at    map[int]buffer.Key           // the name of each record, given out or not
	told  map[buffer.Epoch]*ranges.Set // what loss records that were read name
	sheds bool                         // a full buffer lets go of what it took, and tells
	shed  int                          // how many of what was on disk it did, up to the last start
}

func newModel() *model {
	return &model{
		size: map[int]int{}, given: map[int]buffer.Key{}, names: map[buffer.Key]int{}, acked: map[int]bool{},
		durable: map[int]bool{}, cursorOf: map[int]int{}, at: map[int]buffer.Key{},
		told: map[buffer.Epoch]*ranges.Set{},
	}
}

func (m *model) clone() *model {
	m.mu.Lock()
	defer m.mu.Unlock()
	told := map[buffer.Epoch]*ranges.Set{}
	for e, set := range m.told {
		c := set.Clone()
		told[e] = &c
	}
	return &model{
		size: maps.Clone(m.size), given: maps.Clone(m.given), names: maps.Clone(m.names), acked: maps.Clone(m.acked),
		durable: maps.Clone(m.durable), cursorOf: maps.Clone(m.cursorOf), at: maps.Clone(m.at), told: told, sheds: m.sheds,
	}
}

// gave checks a record that was given out: it has the content that was appended, and the
// name that it got then, or in a move.
func (m *model) gave(s buffer.Stored) (id int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id, ok := idOf(s.Data)
	if size, known := m.size[id]; !ok || !known || size != len(s.Data) {
		return id, fmt.Errorf("position %d: record %d of %d bytes was not appended so", s.Position, id, len(s.Data))
	}
	for _, names := range []map[int]buffer.Key{m.given, m.at} {
		if before, ok := names[id]; ok && before != s.Key {
			return id, fmt.Errorf("record %d was %v and is %v", id, before, s.Key)
		}
	}
	if other, ok := m.names[s.Key]; ok && other != id {
		return id, fmt.Errorf("the name of record %d is given to record %d: %v", other, id, s.Key)
	}
	m.given[id], m.at[id], m.names[s.Key] = s.Key, s.Key, id
	if s.OnDisk {
		m.durable[id] = true
	}
	return id, nil
}

// sent are the positions of an epoch that were given out: an uplink sends each at once.
func (m *model) sent(e buffer.Epoch) ranges.Set {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out ranges.Set
	for k := range m.names {
		if k.Epoch == e {
			out.Add(k.Position, k.Position+1)
		}
	}
	return out
}

// moved takes over the names that the latest new epoch of b gave.
func (m *model) moved(b *buffer.Buffer) {
	from, to, set, waiting := buffer.LatestMove(b)
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, k := range m.at {
		if k.Epoch == from && set.Contains(k.Position) {
			below := set.Intersect(ranges.Of(ranges.Range{To: k.Position}))
			m.at[id] = buffer.Key{Epoch: to, Position: below.Len()}
		}
	}
	for k, data := range waiting {
		if id, ok := idOf(data); ok {
			m.at[id] = k
		}
	}
}

// tells notes what a loss record says.
func (m *model) tells(s buffer.Stored) error {
	l, err := buffer.DecodeLoss(s.Data)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.told[l.Epoch] == nil {
		m.told[l.Epoch] = &ranges.Set{}
	}
	m.told[l.Epoch].Add(l.From, l.To)
	return nil
}

// goneLocked reports whether a record that is not there is so silently: it was neither
// acknowledged nor told lost.
func (m *model) goneLocked(id int) bool {
	told := m.told[m.at[id].Epoch]
	return !m.acked[id] && !(m.sheds && told != nil && told.Contains(m.at[id].Position))
}

// verify compares a buffer that was just opened on what a crash left.
func (m *model) verify(b *buffer.Buffer) (present map[int]bool, err error) {
	present = map[int]bool{}
	var after *buffer.Key
	for {
		s, ok, err := b.Next(buffer.Backlog, after)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		after = &s.Key
		if s.Class == buffer.Loss {
			if err := m.tells(s); err != nil {
				return nil, err
			}
			continue
		}
		id, err := m.gave(s)
		if err != nil {
			return nil, err
		}
		if present[id] {
			return nil, fmt.Errorf("record %d is there twice", id)
		}
		present[id] = true
	}
	checked := buffer.Check(b) // waits for a flush, in which the step may ask the model
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for id := range m.durable {
		if !present[id] && m.goneLocked(id) {
			errs = append(errs, fmt.Errorf("record %d was on disk and is gone", id))
		}
	}
	text, err := b.Cursor("replay")
	if err != nil {
		return nil, err
	}
	at := 0
	if text != nil {
		if at, err = strconv.Atoi(string(text)); err != nil {
			return nil, err
		}
	}
	for id, c := range m.cursorOf {
		switch {
		case c <= at && !present[id] && m.goneLocked(id):
			errs = append(errs, fmt.Errorf("record %d of cursor %d is gone, the cursor is %d", id, c, at))
		case c > at && present[id]:
			errs = append(errs, fmt.Errorf("record %d of cursor %d is there, the cursor is %d", id, c, at))
		case c > at && m.given[id] != (buffer.Key{}):
			errs = append(errs, fmt.Errorf("record %d of cursor %d was given out, the cursor is %d", id, c, at))
		}
	}
	return present, errors.Join(append(errs, checked)...)
}

// crashed forgets what a crash took, and returns the cursor that a source goes on with.
func (m *model) crashed(present map[int]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.size {
		if !present[id] {
			if m.durable[id] && !m.acked[id] {
				m.shed++
			}
			delete(m.size, id)
			delete(m.given, id)
			delete(m.at, id)
			delete(m.cursorOf, id)
			delete(m.durable, id)
		} else {
			m.durable[id] = true
			delete(m.acked, id) // it is held again
		}
	}
}
