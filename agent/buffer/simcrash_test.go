package buffer_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"andon.internal/agent/buffer"
)

// step takes an image now and then. The buffer holds still meanwhile.
func (s *sim) step(name string) error {
	s.count++
	if name == "end" {
		s.m.moved(s.b)
	}
	often := 40
	if name == "begin" || name == "end" || name == "endmove" || name == "close" {
		often = 4
	}
	if len(s.images) < s.most && s.hooks.IntN(often) == 0 {
		img := simImage{filepath.Join(s.root, fmt.Sprintf("image-%d", s.count)), name, s.m.clone()}
		s.images = append(s.images, img)
		if err := image(s.o.Dir, img.dir); err != nil {
			return err
		}
	}
	if name == "write" && s.hooks.IntN(3) == 0 {
		time.Sleep(time.Duration(s.hooks.IntN(4)) * time.Millisecond) // more waits to be written
	}
	if !s.failing || s.calm.Load() {
		s.full = 0
		return nil
	}
	return s.fail(name)
}

// fail makes the disk fail now and then, and be full for a while where it is to.
func (s *sim) fail(name string) error {
	switch name {
	case "write", "create":
		if s.writes++; s.filling && s.full == 0 && (s.writes == 10 || s.hooks.IntN(60) == 0) {
			s.full = 1 + s.hooks.IntN(20)
		}
		if s.full > 0 {
			s.full--
			return &fs.PathError{Op: name, Path: "record file", Err: syscall.ENOSPC}
		}
	case "written", "unlink", "endmove":
	default:
		return nil
	}
	if s.hooks.IntN(30) == 0 {
		return errors.New("the disk fails, as it was told to")
	}
	return nil
}

// restart opens the buffer again, after a Close or, with crash, in an image of the
// folder taken at some moment after the last step.
func (s *sim) restart(crash bool) {
	if err := buffer.Check(s.b); err != nil {
		s.t.Error(err)
	}
	if crash {
		if err := buffer.Abandon(s.b); err != nil {
			s.t.Fatal(err)
		}
	} else if s.stop() {
		s.m.mu.Lock()
		for id := range s.m.size {
			s.m.durable[id] = true
		}
		s.m.mu.Unlock()
	}
	s.calm.Store(true)
	s.start(s.o.Dir)
	present, err := s.m.verify(s.b)
	s.calm.Store(false)
	if err != nil {
		s.t.Fatalf("after a restart (crash %v): %v", crash, err)
	}
	s.m.crashed(present)
	s.cursor = 0
	if c, err := s.b.Cursor("replay"); err != nil {
		s.t.Error(err)
	} else if c != nil {
		s.cursor, _ = strconv.Atoi(string(c))
	}
}

func (s *sim) verifyImages() {
	for _, img := range s.images {
		o := s.o
		o.Dir = img.dir
		o.SetStep(nil)
		b, err := buffer.Open(o)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := img.m.verify(b); err != nil {
			s.t.Errorf("crash before step %q: %v", img.step, err)
		}
		if err := b.Close(); err != nil {
			s.t.Error(err)
		}
	}
}
