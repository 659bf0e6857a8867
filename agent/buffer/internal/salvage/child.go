package salvage

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"andon.internal/agent/buffer/internal/format"
)

const (
	childLimit  = 20 * time.Second // for a check, beside a second for 4 MiB
	ChildMemory = 96 << 20         // bytes; deploy/edge/andon-agent.service gives both 256 MiB
	childStack  = 64 << 20         // bytes of one goroutine
	childAnswer = 64 << 20         // bytes
)

// Child is what the process does that an [Asker] starts: it checks or salvages the
// file that it is told on in, and answers on out. A file may make the database panic in
// a goroutine of its own, follow a circle of pages, or take all memory: that ends this
// process alone. It changes no file, and makes none but the one that it is told to.
func Child(in io.Reader, out io.Writer) error {
	var q Request
	if err := gob.NewDecoder(in).Decode(&q); err != nil {
		return fmt.Errorf("read what is asked: %w", err)
	}
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) // rather this process than the agent; not on every system
	debug.SetMaxStack(childStack)
	debug.SetMemoryLimit(ChildMemory / 2)
	if err := limitMemory(ChildMemory); err != nil {
		return err
	}
	limit := time.AfterFunc(time.Duration(q.Limit), func() { os.Exit(exitTimeout) })
	defer limit.Stop()
	a := q.answer(true)
	return gob.NewEncoder(out).Encode(&a)
}

// Answer does what is asked. With trial the database itself opens the file too.
func (q *Request) answer(trial bool) Answer {
	if q.To != "" {
		return Run(q)
	}
	err := format.CheckRecords(q.Path, true)
	if err == nil && trial {
		err = tryOpen(q.Path)
	}
	if errors.Is(err, format.ErrDamaged) {
		return Answer{Damage: strings.TrimPrefix(err.Error(), format.ErrDamaged.Error()+": ")}
	}
	return Answer{} // anything else the start itself meets
}

// tryOpen does with a file what the start will do, and has the database check it.
func tryOpen(path string) error {
	db, err := format.Open(path, bolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: time.Second})
	if err != nil {
		return err
	}
	var c format.Contents
	c.Reset()
	return format.ViewAndClose(db, func(tx *bolt.Tx) error {
		var first error
		for err := range tx.Check() {
			if first == nil {
				first = fmt.Errorf("%w: %w", format.ErrDamaged, err)
			}
		}
		if first != nil {
			return first
		}
		return c.Read(tx)
	})
}

const (
	exitPanic   = 2 // what Go ends a process with
	exitTimeout = 3
)

// limitMemory bounds what the process may take beyond what it has. The map of a file does not count.
func limitMemory(bytes uint64) error {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return nil // not Linux: the limits of stack and time have to do
	}
	var size, resident, shared, code, lib, data uint64
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared, &code, &lib, &data); err != nil {
		return fmt.Errorf("read how much memory is in use: %w", err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	limit.Cur = min(data*uint64(os.Getpagesize())+bytes, limit.Max)
	return os.NewSyscallError("setrlimit", syscall.Setrlimit(syscall.RLIMIT_DATA, &limit))
}
