package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"andon.internal/lab/factory"
	"andon.internal/lab/process"
	"andon.internal/shared/procfs"
)

func kill(_ context.Context, r *rig, target string) (cure, error) {
	if err := r.kill(target); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return r.start(ctx, target) }, nil
}

func killAll(_ context.Context, r *rig, _ string) (cure, error) {
	var errs []error
	for _, name := range processes {
		errs = append(errs, r.kill(name))
	}
	return func(ctx context.Context) error {
		var errs []error
		for _, name := range processes {
			errs = append(errs, r.start(ctx, name))
		}
		return errors.Join(errs...)
	}, errors.Join(errs...)
}

// kill ends a process with SIGKILL. One that is down already stays down.
func (r *rig) kill(name string) error {
	if name == dynoCell {
		r.asking.Lock()
		defer r.asking.Unlock()
		defer r.crashed()
	}
	if err := r.f.Kill(name); err != nil && !errors.Is(err, process.ErrDown) {
		return err
	}
	return nil
}

// lingers is longer than a reading of a well cell is in memory only: 100 ms and a sync, on a
// machine that is busy.
const lingers = 4 * time.Second

// holdsUp are the faults while which, and for some time behind which, a cell may keep readings
// in memory only.
var holdsUp = []string{"pause-agent", "cell-full", "slow-disk", "dead-disk", "failing-sync", "failing-sync-kill"}

// crashed says that the cell of dynos has crashed.
func (r *rig) crashed() {
	longest := lingers
	if time.Since(r.heldUp) < 2*takesUp {
		longest = 0
	}
	r.journal.crashed(longest)
}

// start starts a process that is down.
func (r *rig) start(ctx context.Context, name string) error {
	if r.f.PID(name) != 0 {
		return nil
	}
	r.starting.Lock()
	r.starts[name]++
	r.starting.Unlock()
	return r.f.Restart(ctx, name)
}

// pause stops a process and its children with SIGSTOP, as a machine that hangs.
func pause(_ context.Context, r *rig, target string) (cure, error) {
	pid := r.f.PID(target)
	if pid == 0 {
		return nil, fmt.Errorf("pause %s: it is down", target)
	}
	family := append([]int{pid}, procfs.Children(pid)...)
	for _, p := range family {
		if err := unix.Kill(p, unix.SIGSTOP); err != nil && p == pid {
			return nil, fmt.Errorf("pause %s: %w", target, err)
		}
	}
	return func(context.Context) error {
		for _, p := range family {
			_ = unix.Kill(p, unix.SIGCONT) // a child may be gone
		}
		return nil
	}, nil
}

func stop(_ context.Context, r *rig, target string) (cure, error) {
	if err := r.f.Stop(target); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return r.start(ctx, target) }, nil
}

// immediate has PostgreSQL end without writing anything; the factory starts it again.
func immediate(_ context.Context, r *rig, _ string) (cure, error) {
	if err := unix.Kill(r.f.PID(factory.Postgres), unix.SIGQUIT); err != nil {
		return nil, fmt.Errorf("end PostgreSQL at once: %w", err)
	}
	return func(context.Context) error { return nil }, nil
}
