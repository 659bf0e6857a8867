package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"andon.internal/lab/loopdisk"
	"andon.internal/lab/process"
)

// clone is the name of the second agent's host.
const clone = "clone"

// gathers is how long a cell without a link gathers readings before its disk is copied.
const gathers = 2 * time.Second

// twoClones copies the disk of a cell that runs and has a backlog, and lets a second agent
// run from the copy, beside the first: both hold the backlog, have the same name and certificate,
// and take the session from each other. The second has other dynos, so that a unit
// does not have two readings of one time.
func twoClones(ctx context.Context, r *rig, target string) (cure, error) {
	if err := r.carrier(ctx, target, "down"); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
	case <-time.After(gathers):
	}
	if err := r.makeClone(ctx, target); err != nil {
		return nil, errors.Join(err, r.carrier(ctx, target, "up"))
	}
	second := process.New(process.Spec{
		Name: clone, Path: filepath.Join(r.f.Bin(), "andon-agent"), Args: []string{"run", "--config", r.cloneFile("config.yaml")},
		Log: r.cloneFile("log.txt"), Netns: r.w.hosts[clone].path(),
	})
	r.cloning = true
	since := time.Now()
	r.after = append(r.after, func(ctx context.Context, out *Round) error { return r.named(ctx, target, since, out) })
	err := errors.Join(r.carrier(ctx, target, "up"), second.Start())
	return func(ctx context.Context) error {
		return errors.Join(second.Stop(), r.w.hosts[clone].disk.Detach(ctx))
	}, err
}

func (r *rig) cloneFile(name string) string { return filepath.Join(r.w.dir, "lab", clone, name) }

// makeClone makes the second agent's namespace, disk and configuration.
func (r *rig) makeClone(ctx context.Context, of string) error {
	h := r.w.hosts[clone]
	if h == nil {
		var err error
		if h, err = r.w.add(ctx, clone); err != nil {
			return err
		}
		h.disk = &loopdisk.Disk{Image: filepath.Join(r.w.dir, "clone.img"), Mount: filepath.Join(r.w.dir, "clone.disk")}
		if err := errors.Join(os.Mkdir(h.disk.Mount, 0o755), os.Mkdir(r.cloneFile(""), 0o755)); err != nil {
			return err
		}
	}
	if err := r.w.hosts[of].disk.Snapshot(ctx, h.disk.Image); err != nil {
		return err
	}
	var options []string
	if r.opt.FS == "xfs" {
		options = []string{"nouuid"} // the other one is mounted
	}
	if err := h.disk.Attach(ctx, options...); err != nil {
		return err
	}
	if err := os.RemoveAll(r.cloneFile("log.txt")); err != nil { // of another strike
		return err
	}
	for _, p := range r.f.Status(ctx).Processes {
		if p.Name != of {
			continue
		}
		b, err := os.ReadFile(p.Config)
		if err != nil {
			return err
		}
		text := regexp.MustCompile(`(?m)^( *)stations: .*$`).ReplaceAllString(string(b), "$0\n${1}first: 51")
		text = regexp.MustCompile(`(?m)^data: .*$`).ReplaceAllString(text, "data: "+filepath.Join(h.disk.Mount, "data"))
		return os.WriteFile(r.cloneFile("config.yaml"), []byte(text), 0o600)
	}
	return fmt.Errorf("there is no %s", of)
}

// begun is what an agent logs of its start.
var begun = regexp.MustCompile(`msg="agent starts".* epoch=(\S+)`)

// named finds it where the plant has heard of the second box and not noticed that two have
// one name.
func (r *rig) named(ctx context.Context, cell string, since time.Time, out *Round) error {
	log, err := os.ReadFile(r.cloneFile("log.txt"))
	if err != nil {
		return err
	}
	var epochs []string
	for _, m := range begun.FindAllSubmatch(log, -1) {
		epochs = append(epochs, string(m[1]))
	}
	conn, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var heard, doubted bool
	err = conn.QueryRow(ctx, `select exists (select from epoch where epoch_id = any($1)), coalesce(doubted_at >= $3, false) from node where node_id = $2`,
		epochs, cell, since).Scan(&heard, &doubted)
	if err != nil {
		return fmt.Errorf("look for doubts about %s: %w", cell, err)
	}
	r.say("the second box named %s was heard: %t; noticed: %t", cell, heard, doubted)
	if heard && !doubted {
		out.unexplained("two boxes were %s, and nobody noticed", cell)
	}
	return nil
}
