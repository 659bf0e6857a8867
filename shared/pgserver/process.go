package pgserver

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"andon.internal/shared/netns"
)

// process is a running postmaster. done is closed when it has been waited for.
type process struct {
	pid  int
	done chan struct{}
}

// launch starts cmd so that it ends with us: the kernel sends SIGINT, a fast
// shutdown, when the thread that started it ends, so one goroutine keeps that
// thread until then. The process has a group of its own: a Ctrl-C at our terminal
// does not reach it before we are done with it.
func launch(cmd *exec.Cmd, namespace string) (*process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGINT
	cmd.SysProcAttr.Setpgid = true
	p := &process{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		runtime.LockOSThread()
		if namespace == "" {
			defer runtime.UnlockOSThread()
		}
		err := netns.Enter(namespace)
		if err == nil {
			err = cmd.Start()
		}
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
	}()
	if err := <-started; err != nil {
		<-p.done
		return nil, err
	}
	return p, nil
}

func (p *process) exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// signal sends sig to the postmaster, if it still runs.
func (p *process) signal(sig syscall.Signal) error {
	if p.exited() {
		return nil
	}
	if err := syscall.Kill(p.pid, sig); err != nil && err != syscall.ESRCH {
		return err
	}
	return nil
}

// killAll stops the postmaster, so that it neither starts children nor sees them
// die, kills its children and then itself, and waits for it.
func (p *process) killAll() {
	_ = p.signal(syscall.SIGSTOP)
	for _, child := range children(p.pid) {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	_ = p.signal(syscall.SIGKILL)
	<-p.done
}

// children returns the processes whose parent is pid.
func children(pid int) []int {
	var out []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		// "PID (name) state PPID ...": the name may hold spaces and parentheses.
		rest := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		if len(rest) < 2 || string(rest[1]) != strconv.Itoa(pid) {
			continue
		}
		if child, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			out = append(out, child)
		}
	}
	return out
}
