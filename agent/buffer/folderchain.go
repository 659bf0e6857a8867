package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"andon.internal/agent/buffer/internal/format"
)

// chainContents is what a chain file was found to hold.
type chainContents struct {
	links []link
	state cursorState
}

// chain reads the chain file. What does not read back is in faults.
func (f *Folder) chain() (c chainContents, faults []string) {
	c.state.cursors = map[string]knownCursor{}
	w, err := format.OpenWalker(filepath.Join(f.dir, chainFile))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = errors.New("is not there")
		} else if path := (*os.PathError)(nil); errors.As(err, &path) {
			err = path.Err
		}
		return c, []string{chainFile + ": " + err.Error()}
	}
	defer func() { _ = w.Close() }() // was only read
	bad := func(err error) { faults = append(faults, chainFile+": "+err.Error()) }
	for e := range w.Elements(linkBucket) {
		l, err := decodeLink(e.Key, e.Value)
		switch {
		case e.Err != nil:
			bad(e.Err)
		case err != nil:
			bad(err)
		default:
			c.links = append(c.links, l)
		}
	}
	for e := range w.Elements(stateBucket) {
		body, err := format.Unseal(e.Value, stateVersion)
		switch {
		case e.Err != nil:
			bad(e.Err)
		case err != nil:
			bad(fmt.Errorf("name of the active file: %w", err))
		case string(e.Key) == string(activeKey):
			c.state.active = string(body)
		}
	}
	for e := range w.Elements(cursorBucket) {
		body, err := format.Unseal(e.Value, stateVersion)
		switch {
		case e.Err != nil:
			bad(e.Err)
		case err != nil || len(body) < 8:
			bad(fmt.Errorf("note of a cursor: %w", errDamaged))
		default:
			c.state.cursors[string(e.Key)] = knownCursor{generation: binary.BigEndian.Uint64(body), lostWith: string(body[8:])}
		}
	}
	return c, faults
}
