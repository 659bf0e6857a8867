package buffer

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"andon.internal/agent/buffer/internal/format"
	"andon.internal/shared/ranges"
)

// A chain file of which a write failed is not written again, for what is in it then is not
// known. A new one takes its place, made of what the buffer knows, and under another name until
// all of it is synced. No epoch begins in between, so a power cut at any moment leaves a chain
// file that has every epoch of which there are records: the old one, or the new one. One that
// took nothing for lack of space is written again instead, with all that it should have.

const (
	chainRetryMin = time.Second // between two attempts; doubles
	chainRetryMax = time.Minute
)

// chainContent is all that a chain file holds.
type chainContent struct {
	links []link
	moves []*move
	notes map[string]map[Epoch]ranges.Set // what the files hold, by their base names
	state cursorState
}

// mendChain writes all of the chain file where something could not be written, and an attempt is
// due: into a new one where the one that there is cannot be written any more. It is called with
// disk held.
func (b *Buffer) mendChain(now time.Time, all bool) {
	b.mu.Lock()
	if b.chain.err == nil && b.chainErr == nil || !all && b.chainDue.After(now) {
		b.mu.Unlock()
		return
	}
	b.chainWait = min(max(2*b.chainWait, chainRetryMin), chainRetryMax)
	b.chainDue = now.Add(b.chainWait) // where this fails
	c := b.chainContentLocked()
	next := b.x.current().next
	b.mu.Unlock()
	err := b.step("mend")
	switch {
	case err != nil:
	case b.chain.err == nil:
		err = b.chain.update(c.replace)
	default:
		err = b.chain.renew(b.o.Dir, &c, b.step)
	}
	if err != nil {
		b.chainFailed(err)
		return
	}
	b.mu.Lock()
	b.noted, b.known = next, c.state.cursors
	b.chainErr, b.chainWait, b.chainDue = nil, 0, time.Time{}
	b.mu.Unlock()
	b.log.Info("the chain of epochs is written again")
}

// chainContentLocked is what the chain file has to say now.
func (b *Buffer) chainContentLocked() chainContent {
	c := chainContent{notes: map[string]map[Epoch]ranges.Set{}}
	for _, ep := range b.x.epochs {
		if ep.seq != 0 { // one that was found in a file only is found there again
			c.links = append(c.links, ep.link)
		}
	}
	c.moves = append(append(c.moves, b.again...), b.moves...)
	for _, f := range b.x.files {
		if f != b.active {
			c.notes[baseName(f.name)] = f.live()
		}
	}
	c.state = cursorState{owner: b.owner, cursors: maps.Clone(b.known)}
	if b.active != nil && b.active.home {
		c.state.active = baseName(b.active.name)
	}
	for name, cur := range b.cursors { // they are on disk
		c.state.cursors[name] = knownCursor{generation: cur.Generation}
	}
	return c
}

// renew puts a new file in the place of the one that there is. On an error that one stays, or
// the new one is there, whose name a power cut may still take back: then nothing is written to
// it, and renew is to be called again. The lock on the folder is held all the time. Where the
// folder is another one now, or away, nothing is made there: a file that is not in it would count
// as removed.
func (c *chain) renew(dir string, content *chainContent, step func(string) error) error {
	path := filepath.Join(dir, chainFile)
	tmp := path + tmpSuffix
	if now, err := os.Stat(path); err != nil || !os.SameFile(now, c.file) {
		return errors.Join(fmt.Errorf("%s is not the file that is in use: bring the folder back, or start anew", path), err)
	}
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := format.OpenBolt(tmp, bolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	made := &chain{db: db}
	if err = made.update(content.put); err == nil {
		c.written.Add(made.written.Load())
		err = step("mended")
	}
	var file os.FileInfo
	if err == nil {
		file, err = os.Stat(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp) // the next attempt, or start, removes it too
		return errors.Join(err, made.close())
	}
	_ = c.close() // what could not be written to it is in the new one
	c.db, c.file, c.stuck = db, file, false
	if err = step("renamed"); err == nil {
		err = syncDir(dir)
	}
	if c.err = err; err == nil {
		reserveBlocks(path)
	}
	return err
}

// replace puts the content in the place of what a chain file has: also what it should not have any
// more is there still.
func (content *chainContent) replace(tx *bolt.Tx) error {
	for _, name := range [][]byte{linkBucket, moveBucket, fileBucket} { // of the others nothing is ever deleted
		if err := tx.DeleteBucket(name); err != nil {
			return err
		}
	}
	return content.put(tx)
}

func (content *chainContent) put(tx *bolt.Tx) error {
	if err := makeBuckets(tx); err != nil {
		return err
	}
	for i := range content.links {
		if err := putLink(tx.Bucket(linkBucket), &content.links[i]); err != nil {
			return err
		}
	}
	for _, m := range content.moves {
		if err := putMove(tx, m); err != nil {
			return err
		}
	}
	for base, held := range content.notes {
		if err := putNote(tx, base, held); err != nil {
			return err
		}
	}
	s := &content.state
	if s.active != "" {
		if err := putState(tx, activeKey, []byte(s.active)); err != nil {
			return err
		}
	}
	return errors.Join(putState(tx, bufferKey, s.owner[:]), putKnown(tx, s.cursors))
}
