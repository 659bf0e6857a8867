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
	childMemory = 96 << 20         // bytes; deploy/edge/andon-agent.service gives both 256 MiB
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
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) // rather this process than the agent; not on every system
	debug.SetMaxStack(childStack)
	debug.SetMemoryLimit(childMemory / 2)
	if err := limitMemory(childMemory); err != nil {
		return err
	}
	limit := time.AfterFunc(time.Duration(q.Limit), func() { os.Exit(exitTimeout) })
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

// ask has a child answer. That a file is damaged is what the child says, or what the
// database did in it; what else becomes of a child says nothing of the file, and the answer
// is found here, without the database. Also where it was killed twice, maybe for the memory
// that it took, the database does not open the file here: what is in it goes to a new one.
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
	if errors.Is(err, errKilled) {
		a, err = b.child(q, limit)
	}
	switch {
	case err == nil && (a.Fault == "" || a.Full):
		return a
	case q.To == "" && (errors.Is(err, errCrashed) || errors.Is(err, errKilled)):
		return answer{Damage: err.Error()}
	case err == nil:
		err = errors.New(a.Fault)
	}
	b.log.Warn("cannot look at a record file in a process of its own", "file", q.Path, "error", err)
	return q.answer(false)
}

var (
	errCrashed = errors.New("the database ended the process that looked at it")
	errKilled  = errors.New("the process that looked at it was killed")
)

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
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return a, wrap("read its answer", gob.NewDecoder(&out.Buffer).Decode(&a))
	case ctx.Err() != nil, errors.As(err, &exit) && exit.ExitCode() == exitTimeout:
		return a, fmt.Errorf("looking at it took longer than %s", limit)
	case exit == nil:
		return a, err
	}
	first, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n")
	switch status := exit.Sys().(syscall.WaitStatus); {
	case status.Signaled() && status.Signal() == syscall.SIGKILL:
		return a, errKilled
	case status.Signaled() && faulty(status.Signal()), exit.ExitCode() == exitPanic && panicked(complaint.String()):
		return a, fmt.Errorf("%w: %w: %s", errCrashed, err, first)
	}
	return a, fmt.Errorf("%w: %s", err, first)
}

const (
	exitPanic   = 2 // what Go ends a process with
	exitTimeout = 3
)

// faulty reports whether a signal is one of a fault, not one that somebody sends.
func faulty(s syscall.Signal) bool {
	return s == syscall.SIGSEGV || s == syscall.SIGBUS || s == syscall.SIGABRT || s == syscall.SIGILL || s == syscall.SIGFPE
}

// panicked reports whether what a process wrote is Go's last words. Other programs end
// with the same code.
func panicked(complaint string) bool {
	for line := range strings.Lines(complaint) {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return true
		}
	}
	return false
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
