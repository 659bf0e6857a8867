package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"andon.internal/lab/factory"
	"andon.internal/lab/loopdisk"
)

// BufferReport is what the agent's own command measured.
type BufferReport struct {
	Machine Machine         `json:"machine"`
	Dir     string          `json:"dir"`                // on the disk that was measured
	Disk    string          `json:"disk"`               // its file system and where that lies, as the system calls them
	MBps    int             `json:"mb_per_s,omitempty"` // above 0: what a disk made there was bounded to
	Figures json.RawMessage `json:"figures"`
	Text    string          `json:"-"` // the same, for people
}

// Buffer has the agent measure its buffer on the disk of a folder; "": of the one for
// temporary files. With mbps above 0 it is a disk of its own that is made there, which writes
// so many MB a second; this needs root and the block controller of the control groups.
func Buffer(ctx context.Context, o Options, dir string, mbps int, asJSON bool) (_ *BufferReport, err error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	r := &BufferReport{Dir: dir, Disk: diskOf(dir), MBps: mbps}
	if mbps > 0 {
		slow, remove, made := slowDisk(ctx, dir, mbps)
		if made != nil {
			return nil, made
		}
		defer func() { err = errors.Join(err, remove()) }()
		dir, r.Disk = slow, diskOf(slow)+" on "+r.Disk
	}
	r.Machine.read()
	args := []string{"buffer", "bench", "--dir", dir}
	if o.Short {
		args = append(args, "--short")
	}
	if asJSON {
		args = append(args, "--json")
	}
	agent := exec.CommandContext(ctx, filepath.Join(factory.FindBinaries(o.Bin), "andon-agent"), args...)
	agent.Cancel = func() error { return agent.Process.Signal(os.Interrupt) }
	var out, fault bytes.Buffer
	agent.Stdout, agent.Stderr = &out, &fault
	if err := agent.Run(); err != nil {
		return nil, fmt.Errorf("andon-agent %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(fault.Bytes()))
	}
	if r.Text = out.String(); asJSON {
		r.Figures = out.Bytes()
	}
	return r, nil
}

// slowDisk makes a disk in a folder and returns where it is mounted. When ctx ends it is as
// fast as it can be: who waits for a sync there can end.
func slowDisk(ctx context.Context, in string, mbps int) (mount string, remove func() error, err error) {
	if err := loopdisk.Throttles(); err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp(in, "andon-bench-")
	if err != nil {
		return "", nil, err
	}
	const size = 3 << 30 // a sparse file
	d, err := loopdisk.MakeSized(ctx, dir, "slow", "ext4", size)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	ended := context.AfterFunc(ctx, func() { _ = d.Lift() }) // remove tells, too
	remove = func() error {
		ended()
		if err := errors.Join(d.Lift(), d.Detach(context.WithoutCancel(ctx))); err != nil {
			return fmt.Errorf("%s is left behind: %w", dir, err)
		}
		return os.RemoveAll(dir)
	}
	if err = errors.Join(d.Lift(), d.ThrottleBytes(int64(mbps)*1_000_000)); err != nil {
		return "", nil, errors.Join(err, remove())
	}
	return d.Mount, remove, nil
}

// diskOf names the file system that a folder lies on.
func diskOf(dir string) string {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return ""
	}
	best, where := "", ""
	for line := range strings.Lines(string(b)) {
		// device, where, kind, options
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		below := f[1] == "/" || dir == f[1] || strings.HasPrefix(dir, f[1]+"/")
		if below && len(f[1]) >= len(where) {
			best, where = f[2]+" on "+f[0], f[1]
		}
	}
	return best
}
