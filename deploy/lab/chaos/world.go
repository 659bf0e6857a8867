package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon.internal/lab/loopdisk"
)

// prefix begins the names of namespaces and folders; the process id follows.
const prefix = "andon-chaos-"

// network is the first part of the addresses in the namespaces.
const network = "10.199.7."

// world is the namespaces and file systems of one run.
type world struct {
	name  string // prefix and process id
	dir   string
	hosts map[string]*host
	count int
}

// host is where one process lives.
type host struct {
	name, netns, addr string
	port              string         // the bridge's end of its cable
	disk              *loopdisk.Disk // nil: none of its own
}

func run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// newWorld sweeps what crashed runs left, and makes the namespace of the bridge.
func newWorld(ctx context.Context) (*world, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("namespaces and loop devices are made by root")
	}
	sweep(ctx)
	w := &world{name: prefix + strconv.Itoa(os.Getpid()), hosts: map[string]*host{}}
	w.dir = filepath.Join(os.TempDir(), w.name)
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the rig: %w", err)
	}
	for _, args := range [][]string{
		{"netns", "add", w.hub()},
		{"-n", w.hub(), "link", "add", "br0", "type", "bridge"},
		{"-n", w.hub(), "link", "set", "br0", "up"},
	} {
		if err := run(ctx, "ip", args...); err != nil {
			return nil, errors.Join(err, w.close())
		}
	}
	return w, nil
}

func (w *world) hub() string { return w.name + "-hub" }

// add makes the namespace of a process and its cable to the bridge.
func (w *world) add(ctx context.Context, name string) (*host, error) {
	w.count++
	h := &host{name: name, netns: w.name + "-" + name, addr: network + strconv.Itoa(w.count), port: "port" + strconv.Itoa(w.count)}
	for _, args := range [][]string{
		{"netns", "add", h.netns},
		{"link", "add", h.port, "netns", w.hub(), "type", "veth", "peer", "name", "eth0", "netns", h.netns},
		{"-n", w.hub(), "link", "set", h.port, "master", "br0", "up"},
		{"-n", h.netns, "link", "set", "lo", "up"},
		{"-n", h.netns, "addr", "add", h.addr + "/24", "dev", "eth0"},
		{"-n", h.netns, "link", "set", "eth0", "up"},
	} {
		if err := run(ctx, "ip", args...); err != nil {
			return nil, err
		}
	}
	w.hosts[name] = h
	return h, nil
}

func (h *host) path() string { return "/run/netns/" + h.netns }

// addDisk makes a file system for a host.
func (w *world) addDisk(ctx context.Context, h *host, kind string) (err error) {
	h.disk, err = loopdisk.Make(ctx, w.dir, h.name, kind)
	return err
}

// close removes everything. The processes have ended.
func (w *world) close() error { return remove(w.name) }

// remove removes what a run of this name has made.
func remove(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	dirs := map[string]bool{filepath.Join(os.TempDir(), name): true}
	mounts, err := os.ReadFile("/proc/mounts") // a killed run may have had another TMPDIR
	if err != nil {
		return err
	}
	lines := slices.Collect(strings.Lines(string(mounts)))
	for _, line := range slices.Backward(lines) { // what is mounted on another mount goes first
		if f := strings.Fields(line); len(f) > 1 && strings.Contains(f[1], "/"+name+"/") {
			dirs[f[1][:strings.Index(f[1], "/"+name+"/")+1+len(name)]] = true
			d := &loopdisk.Disk{Mount: f[1]}
			errs = append(errs, d.Lift(), d.Detach(ctx))
		}
	}
	spaces, _ := filepath.Glob("/run/netns/" + name + "-*")
	for _, s := range spaces {
		errs = append(errs, run(ctx, "ip", "netns", "del", filepath.Base(s)))
	}
	if err := errors.Join(errs...); err != nil {
		return err // the folder names what is still mounted
	}
	for dir := range dirs {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}

var ours = regexp.MustCompile(`^` + prefix + `([0-9]+)(-|$)`)

// sweep removes what runs left that were killed.
func sweep(context.Context) {
	spaces, _ := filepath.Glob("/run/netns/" + prefix + "*")
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	for _, path := range append(spaces, dirs...) {
		m := ours.FindStringSubmatch(filepath.Base(path))
		if m == nil {
			continue
		}
		if _, err := os.Stat("/proc/" + m[1]); errors.Is(err, os.ErrNotExist) {
			_ = remove(prefix + m[1]) // what cannot go now is seen again the next time
		}
	}
}
