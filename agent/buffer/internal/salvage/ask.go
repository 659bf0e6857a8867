package salvage

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Asker has files looked at, by a process of its own where there is a command for one.
type Asker struct {
	Command []string      // of a process that calls Child; empty: they are looked at here
	Limit   time.Duration // how long a child may take; zero: as its file is large
	Until   time.Time     // what is asked later is looked at here; zero: there is no such time
	Log     *slog.Logger
}

// Ask has a child answer. That a file is damaged is what the child says, or what the
// database did in it; what else becomes of a child says nothing of the file, and the answer
// is found here, without the database. Also where it was killed twice, maybe for the memory
// that it took, the database does not open the file here: what is in it goes to a new one.
func (r *Asker) Ask(q *Request) Answer {
	if len(r.Command) == 0 {
		return q.answer(false)
	}
	info, err := os.Stat(q.Path)
	if err != nil {
		return Answer{} // the start itself meets it
	}
	limit := childLimit + time.Duration(info.Size()>>22)*time.Second
	if q.To != "" {
		limit *= 2 // it writes as well
	}
	if r.Limit > 0 {
		limit = r.Limit
	}
	if left := time.Until(r.Until); !r.Until.IsZero() && left < limit {
		if limit = left; limit <= 0 {
			r.Log.Warn("no time is left for a process of its own to look at a record file", "file", q.Path)
			return q.answer(false)
		}
	}
	q.Limit = int64(limit)
	a, err := r.child(q, limit)
	if errors.Is(err, errKilled) {
		a, err = r.child(q, limit)
	}
	switch {
	case err == nil && (a.Fault == "" || a.Full):
		return a
	case q.To == "" && (errors.Is(err, errCrashed) || errors.Is(err, errKilled)):
		return Answer{Damage: err.Error()}
	case err == nil:
		err = errors.New(a.Fault)
	}
	r.Log.Warn("cannot look at a record file in a process of its own", "file", q.Path, "error", err)
	return q.answer(false)
}

var (
	errCrashed = errors.New("the database ended the process that looked at it")
	errKilled  = errors.New("the process that looked at it was killed")
)

func (r *Asker) child(q *Request, limit time.Duration) (a Answer, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit+time.Second)
	defer cancel()
	var in bytes.Buffer
	if err := gob.NewEncoder(&in).Encode(q); err != nil {
		return a, err
	}
	out, complaint := &bounded{limit: childAnswer}, &bounded{limit: 4 << 10}
	cmd := exec.CommandContext(ctx, r.Command[0], r.Command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &in, out, complaint, time.Second
	cmd.Env = append(os.Environ(), "GOTRACEBACK=none")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a signal from the terminal is not for it
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		if err := gob.NewDecoder(&out.Buffer).Decode(&a); err != nil {
			return a, fmt.Errorf("read its answer: %w", err)
		}
		return a, nil
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
