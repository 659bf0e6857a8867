package agent

import (
	"context"
	"errors"

	"andon.internal/agent/buffer"
	"andon.internal/agent/guard"
	"andon.internal/agent/sampler"
)

// store is the buffer as samplers see it. A live source has no cursor, and does not wait for
// a disk to say so.
type store struct {
	buffer *buffer.Buffer
	live   bool
}

// cursorPrefix keeps the names of sources apart from other cursors.
const cursorPrefix = "source/"

// Append takes records in order, all or none, with the source's cursor.
func (s store) Append(sourceName string, items []sampler.Item, cursor []byte) error {
	out := make([]buffer.Item, len(items))
	for i, it := range items {
		out[i] = buffer.Item{
			Class: buffer.Bulk, Data: it.Data, Label: it.Unit,
			Rows: it.Rows, First: it.First, Last: it.Last,
		}
		if it.Around {
			out[i].Class = buffer.Alarm
		}
	}
	var c *buffer.Cursor
	if cursor != nil {
		c = &buffer.Cursor{Name: cursorPrefix + sourceName, Data: cursor}
	}
	_, err := s.buffer.Append(out, c)
	switch {
	case errors.Is(err, buffer.ErrFull):
		return errors.Join(sampler.ErrFull, err)
	case errors.Is(err, buffer.ErrTooLarge):
		return errors.Join(sampler.ErrTooLarge, err)
	case err != nil:
		return err
	}
	for _, it := range items {
		if it.Raised {
			s.buffer.Spare(it.Unit, guard.Before)
		}
	}
	return nil
}

// Cursor returns what was last stored for the source.
func (s store) Cursor(sourceName string) ([]byte, error) {
	c, err := s.buffer.Cursor(cursorPrefix + sourceName)
	if s.live && errors.Is(err, buffer.ErrDetached) {
		return nil, nil
	}
	return c, err
}

// WaitSpace waits until the buffer takes records again.
func (s store) WaitSpace(ctx context.Context) error { return s.buffer.WaitSpace(ctx) }
