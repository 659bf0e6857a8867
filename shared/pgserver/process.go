package pgserver

import (
	"os/exec"
	"runtime"
	"syscall"

	"andon.internal/shared/netns"
	"andon.internal/shared/procfs"
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
	for _, child := range procfs.Children(p.pid) {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	_ = p.signal(syscall.SIGKILL)
	<-p.done
}
