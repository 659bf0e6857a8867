package buffer

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	childLimit  = 20 * time.Second // for a check, beside a second for 4 MiB
	childMemory = 512 << 20        // bytes
	childStack  = 64 << 20         // bytes of one goroutine
	childAnswer = 64 << 20         // bytes
)

// Child is what the process does that Options.Child starts: it checks or salvages the
// file that it is told on in, and answers on out. A file may make the database panic in
// a goroutine of its own, follow a circle of pages, or take all memory: that ends this
// process alone. It changes no file, and makes none but the one that it is told to.
func Child(in io.Reader, out io.Writer) error {
	var q request
	if err := gob.NewDecoder(in).Decode(&q); err != nil {
		return fmt.Errorf("read what is asked: %w", err)
	}
	debug.SetMaxStack(childStack)
	if err := limitMemory(childMemory); err != nil {
		return err
	}
	limit := time.AfterFunc(time.Duration(q.Limit), func() { os.Exit(3) })
	defer limit.Stop()
	a := q.answer(true)
	return gob.NewEncoder(out).Encode(&a)
}

// answer does what is asked. With trial the database itself opens the file too.
func (q *request) answer(trial bool) answer {
	if q.To != "" {
		return salvage(q)
	}
	err := checkRecords(q.Path, true)
	if err == nil && trial {
		err = tryOpen(q.Path)
	}
	if errors.Is(err, errDamaged) {
		return answer{Damage: strings.TrimPrefix(err.Error(), errDamaged.Error()+": ")}
	}
	return answer{} // anything else the start itself meets
}

// tryOpen does with a file what the start will do, and has the database check it.
func tryOpen(path string) error {
	db, err := openDB(path, bolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: time.Second})
	if err != nil {
		return err
	}
	var c contents
	c.reset()
	err = guarded(func() error {
		return db.View(func(tx *bolt.Tx) error {
			var first error
			for err := range tx.Check() {
				if first == nil {
					first = fmt.Errorf("%w: %w", errDamaged, err)
				}
			}
			if first != nil {
				return first
			}
			return c.read(tx)
		})
	})
	return errors.Join(err, closeDB(db))
}

// ask has a child answer. What ends the child says that the file is damaged, unless it
// was somebody else who ended it: then the answer is found here, without the database.
func (b *Buffer) ask(q *request) answer {
	if len(b.o.Child) == 0 {
		return q.answer(false)
	}
	info, err := os.Stat(q.Path)
	if err != nil {
		return answer{} // the start itself meets it
	}
	limit := childLimit + time.Duration(info.Size()>>22)*time.Second
	if q.To != "" {
		limit *= 2 // it writes as well
	}
	if b.o.childLimit > 0 {
		limit = b.o.childLimit
	}
	q.Limit = int64(limit)
	a, err := b.child(q, limit)
	switch {
	case err == nil:
		return a
	case errors.Is(err, errNoChild):
		b.log.Warn("cannot look at a record file in a process of its own", "file", q.Path, "error", err)
		return q.answer(false)
	case q.To != "":
		return answer{Fault: err.Error()}
	}
	return answer{Damage: err.Error()}
}

// errNoChild says that there was no child, or that somebody else ended it.
var errNoChild = errors.New("no child process")

func (b *Buffer) child(q *request, limit time.Duration) (a answer, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit+time.Second)
	defer cancel()
	var in bytes.Buffer
	if err := gob.NewEncoder(&in).Encode(q); err != nil {
		return a, err
	}
	out, complaint := &bounded{limit: childAnswer}, &bounded{limit: 4 << 10}
	cmd := exec.CommandContext(ctx, b.o.Child[0], b.o.Child[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &in, out, complaint, time.Second
	cmd.Env = append(os.Environ(), "GOTRACEBACK=none")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a signal from the terminal is not for it
	if err := cmd.Start(); err != nil {
		return a, fmt.Errorf("%w: %w", errNoChild, err)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		err = gob.NewDecoder(&out.Buffer).Decode(&a)
		return a, err
	case ctx.Err() != nil, errors.As(err, &exit) && exit.ExitCode() == 3:
		return a, fmt.Errorf("looking at it took longer than %s", limit)
	case exit != nil && exit.Sys().(syscall.WaitStatus).Signaled() && ended(exit.Sys().(syscall.WaitStatus).Signal()):
		return a, fmt.Errorf("%w: %w", errNoChild, err)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n")
	return a, fmt.Errorf("looking at it ended with %w: %s", err, first)
}

// ended reports whether a signal is one that somebody sends, not one of a fault.
func ended(s syscall.Signal) bool {
	return s == syscall.SIGKILL || s == syscall.SIGTERM || s == syscall.SIGINT || s == syscall.SIGHUP || s == syscall.SIGQUIT
}

// bounded keeps the first bytes of what is written to it.
type bounded struct {
	bytes.Buffer
	limit int
}

func (w *bounded) Write(p []byte) (int, error) {
	w.Buffer.Write(p[:min(len(p), max(0, w.limit-w.Len()))])
	return len(p), nil
}

// limitMemory bounds what the process may take beyond what it has.
func limitMemory(bytes uint64) error {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return nil // not Linux: the limits of stack and time have to do
	}
	var size, resident, shared, code, lib, data uint64
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared, &code, &lib, &data); err != nil {
		return fmt.Errorf("read how much memory is in use: %w", err)
	}
	most := data*uint64(os.Getpagesize()) + bytes
	return os.NewSyscallError("setrlimit", syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: most, Max: most}))
}
