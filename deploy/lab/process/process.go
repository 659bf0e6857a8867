// Package process runs one program as a supervised child of the lab.
//
// The lab starts the real binaries of agent, broker and collector with it. It
// promises that a child never outlives the lab, even one that is killed with
// SIGKILL; that a child which exits by itself is reported and started again; and
// that one which was killed on purpose stays down until it is started.
package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"andon.internal/shared/netns"
)

// State is what a process is doing.
type State string

// The states of a process.
const (
	Stopped State = "stopped" // never started, or asked to stop
	Running State = "running"
	Killed  State = "killed"  // by Kill; stays down
	Waiting State = "waiting" // exited by itself; is started again soon
)

// Errors for which a caller branches.
var (
	ErrRunning = errors.New("process is already running")
	ErrDown    = errors.New("process is not running")
)

// Spec describes a program to run.
type Spec struct {
	Name string   // for people, such as "broker"
	Path string   // of the binary
	Args []string // without the binary's own name
	Log  string   // file to which standard output and standard error are appended
	// Netns is the file of a network namespace in which the program runs; this one when empty.
	Netns string
	// Env is added to the lab's own environment, as KEY=VALUE.
	Env []string

	// Grace is how long Stop waits after SIGTERM before it sends SIGKILL; 10 s when 0.
	Grace time.Duration
	// Backoff is the pause before the first restart; it doubles to 50 times that while
	// the program keeps exiting. 200 ms when 0.
	Backoff time.Duration
	// Report, where set, is called for every exit that nobody asked for. It must not
	// call the process and must not block.
	Report func(Exit)
}

// Exit is an exit that nobody asked for.
type Exit struct {
	Name    string
	PID     int           // 0 when it could not even be started
	Cause   error         // what the wait or the start said; nil for exit code 0
	Tail    string        // the last lines of its log
	Restart time.Duration // the pause before it is started again
}

// Status is a process at one moment.
type Status struct {
	Name   string
	State  State
	PID    int // 0 when not running
	Starts int // how often it was started, by anyone
}

// Process is a supervised program. Its methods are safe for concurrent use.
type Process struct {
	spec Spec

	mu     sync.Mutex
	state  State
	pid    int
	starts int
	cancel context.CancelFunc // ends the supervision; nil when there is none
	done   chan struct{}      // closed by the supervision when it has ended
}

// New returns a process that is not started.
func New(spec Spec) *Process {
	spec.Grace = cmp.Or(spec.Grace, 10*time.Second)
	spec.Backoff = cmp.Or(spec.Backoff, 200*time.Millisecond)
	return &Process{spec: spec, state: Stopped}
}

// Status returns what the process is doing.
func (p *Process) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Status{Name: p.spec.Name, State: p.state, PID: p.pid, Starts: p.starts}
}

// Start starts the program and supervises it until Stop or Kill. It returns once
// the program is executing, ErrRunning when it is already supervised.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel != nil {
		return fmt.Errorf("start %s: %w", p.spec.Name, ErrRunning)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done, started := make(chan struct{}), make(chan error)
	go func() {
		defer close(done)
		// A child's death signal is tied to the thread that forked it, so this
		// goroutine keeps its thread for as long as it has children.
		runtime.LockOSThread()
		if p.spec.Netns == "" {
			defer runtime.UnlockOSThread()
		}
		var cmd *exec.Cmd
		err := netns.Enter(p.spec.Netns)
		if err == nil {
			cmd, err = p.spawn()
		}
		if err == nil {
			p.set(Running, cmd)
		}
		started <- err
		if err == nil {
			p.supervise(ctx, cmd)
		}
	}()
	if err := <-started; err != nil {
		cancel()
		<-done
		return fmt.Errorf("start %s: %w", p.spec.Name, err)
	}
	p.cancel, p.done = cancel, done
	return nil
}

// Stop asks the program to end, by SIGTERM to its group, waits at most the grace
// and then kills it. It returns nil for a program that is not running.
func (p *Process) Stop() error {
	return p.end(Stopped, func(pid int, done <-chan struct{}) {
		_ = syscall.Kill(-pid, syscall.SIGTERM) // gone already: done tells
		select {
		case <-done:
		case <-time.After(p.spec.Grace):
		}
	})
}

// Kill sends SIGKILL to the program's group and waits until it is gone. It returns
// ErrDown when there was nothing to kill.
func (p *Process) Kill() error {
	if s := p.Status(); s.State != Running && s.State != Waiting {
		return fmt.Errorf("kill %s: %w", p.spec.Name, ErrDown)
	}
	return p.end(Killed, func(int, <-chan struct{}) {})
}

// end ends the supervision. ask is given the running program's id and may wait for
// the channel; what is left after it is killed.
func (p *Process) end(state State, ask func(pid int, done <-chan struct{})) error {
	p.mu.Lock()
	if p.cancel == nil {
		p.state = state
		p.mu.Unlock()
		return nil
	}
	cancel, done, pid := p.cancel, p.done, p.pid
	cancel() // before the signal, so that the exit is not taken for a crash
	p.mu.Unlock()

	if pid != 0 {
		ask(pid, done)
		select {
		case <-done: // its number may be another's by now
		default:
			_ = syscall.Kill(-pid, syscall.SIGKILL)
		}
	}
	<-done
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == done {
		p.cancel, p.done, p.state, p.pid = nil, nil, state, 0
	}
	return nil
}

// supervise waits for the program and starts it again, until ctx is done and the
// program has exited.
func (p *Process) supervise(ctx context.Context, cmd *exec.Cmd) {
	pause := p.spec.Backoff
	var err error // of the last start
	for {
		exit := Exit{Name: p.spec.Name, Cause: err}
		if err == nil {
			begun := time.Now()
			exit.PID, exit.Cause = cmd.Process.Pid, cmd.Wait()
			_ = syscall.Kill(-exit.PID, syscall.SIGKILL) // children it left behind
			if time.Since(begun) > 100*p.spec.Backoff {
				pause = p.spec.Backoff
			}
		}
		if !p.wanted(ctx, Waiting, nil) {
			return
		}
		exit.Restart, exit.Tail = pause, Tail(p.spec.Log, 5)
		if p.spec.Report != nil {
			p.spec.Report(exit)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, 50*p.spec.Backoff)
		if cmd, err = p.spawn(); err == nil && !p.wanted(ctx, Running, cmd) {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	}
}

// wanted sets the state, unless somebody has asked for the end: then it returns
// false, and whoever asked does not know of a program started since.
func (p *Process) wanted(ctx context.Context, s State, cmd *exec.Cmd) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	p.set(s, cmd)
	return true
}

// set changes the state; the lock is held.
func (p *Process) set(s State, cmd *exec.Cmd) {
	p.state, p.pid = s, 0
	if cmd != nil {
		p.pid = cmd.Process.Pid
		p.starts++
	}
}

// spawn forks the program into a process group of its own, with SIGKILL for it
// when the lab dies.
func (p *Process) spawn() (*exec.Cmd, error) {
	log, err := os.OpenFile(p.spec.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own copy
	cmd := exec.Command(p.spec.Path, p.spec.Args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), p.spec.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return cmd, nil
}
