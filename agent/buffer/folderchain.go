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
	bad := func(_ uint64, err error) error {
		faults = append(faults, chainFile+": "+err.Error())
		return nil
	}
	_ = w.Each(string(linkBucket), func(_ uint64, key, value []byte) error {
		l, err := decodeLink(key, value)
		if err != nil {
			return bad(0, err)
		}
		c.links = append(c.links, l)
		return nil
	}, bad)
	_ = w.Each(string(stateBucket), func(_ uint64, key, value []byte) error {
		body, err := format.Unseal(value, stateVersion)
		if err != nil {
			return bad(0, fmt.Errorf("name of the active file: %w", err))
		}
		if string(key) == string(activeKey) {
			c.state.active = string(body)
		}
		return nil
	}, bad)
	_ = w.Each(string(cursorBucket), func(_ uint64, key, value []byte) error {
		body, err := format.Unseal(value, stateVersion)
		if err != nil || len(body) < 8 {
			return bad(0, fmt.Errorf("note of a cursor: %w", errDamaged))
		}
		c.state.cursors[string(key)] = knownCursor{generation: binary.BigEndian.Uint64(body), lostWith: string(body[8:])}
		return nil
	}, bad)
	return c, faults
}
