// Package factory is the factory in a box: PostgreSQL, broker, collector and cells,
// each as its real binary in its own process, with a cable between every cell and
// the broker.
//
// It is what demo, verification, benchmarks and the chaos rig stand on. It promises
// that a factory is either up and ready or not there at all, that every process and
// cable can be broken and mended by name, and that Close leaves nothing behind.
package factory

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"andon.internal/shared/ops"
	"andon.internal/shared/telemetry"
)

// Options say what to start. Dir, Bin and Cells are required.
type Options struct {
	Dir   string // an existing folder of the factory's own, for data, logs and configurations
	Bin   string // the folder of andon-agent, andon-broker and andon-collector
	PgBin string // the folder of PostgreSQL's programs; see pgserver.Options

	Cells []Cell

	// Settings of PostgreSQL beside pgserver's own.
	PgSettings map[string]string
	// Ports on 127.0.0.1; 0 takes free ones. PagesPort is the command center's. HTTPPort
	// is the collector's for /healthz, /readyz and /metrics; the broker's and the cells'
	// follow it upward.
	BrokerPort, PgPort, PagesPort, HTTPPort int
	// Split runs the collector as three processes, one a role: Intake, Sentinel and Web
	// in place of Collector.
	Split bool
	// TLS has every process show a certificate of an authority that is made for the
	// factory.
	TLS bool
	// Mosquitto is a program that takes andon-broker's place; none. Nothing else is changed.
	Mosquitto string
	// Direct leaves the cables out: agents connect to the broker themselves.
	Direct bool
	// Sites are where processes live, by name; one that has none lives on 127.0.0.1, in
	// this network namespace. Cells with a site have no cable of ours.
	Sites map[string]Site
	// Idle leaves the cells down; Restart starts one.
	Idle bool
	// DatabaseOnly starts PostgreSQL and nothing else; Cells may be empty.
	DatabaseOnly bool

	// ReadyWithin bounds the wait until everything is ready; 30 s when 0.
	ReadyWithin time.Duration

	// Logger hears of what happens to processes that nobody asked for. Default: none.
	Logger *slog.Logger
}

// Cell is one cell and what it reads: a file, or dynamometers that do not exist.
type Cell struct {
	Name   string // such as "cell-01": node id, process name, folder
	Group  string // site and line; [Group] when empty
	Replay Replay // with a File
	Live   Replay // another file beside it; none
	Dynos  Dynos  // with Stations
	// Buffer is how its buffer keeps readings.
	Buffer Buffer
}

// Buffer is a buffer's settings, in the words of the agent's configuration. What is zero is
// the agent's default.
type Buffer struct {
	MaxDisk string // such as 64MiB
	Write   string // behind or ahead
	Retain  time.Duration
}

// Site is where a process lives.
type Site struct {
	Netns string   // the file of its network namespace
	Host  string   // its address there
	Data  string   // the folder of its data, such as a file system of its own; for cells and PostgreSQL
	Env   []string // what its environment has beside the lab's, as KEY=VALUE
}

// host is the address of a process.
func (o *Options) host(name string) string { return cmp.Or(o.Sites[name].Host, loopback) }

// group is the cell's site and line.
func (c *Cell) group() string { return cmp.Or(c.Group, Group) }

// Dynos is a simulated source, in the words of the agent's configuration. What is zero
// is the agent's default.
type Dynos struct {
	Stations, First int
	Rate            float64
	Seed            uint64
	Programme, Idle time.Duration
}

// Replay is a replaying source of a cell, in the words of the agent's configuration.
type Replay struct {
	File       string
	Profile    string // "turbofan" when empty
	UnitPrefix string // put before the engine's number
	Period     time.Duration
	Speed      string // a factor above 0, or "max"
	Loop       bool
	Start      time.Time // zero: when the agent first opens the file
}

// Group is the site and line of a cell that names none.
const Group = "austin-line1"

// names of the processes beside the cells.
const (
	Postgres  = "postgres"
	Broker    = "broker"
	Collector = "collector"

	// Of a split collector; they are its roles.
	Intake   = "intake"
	Sentinel = "sentinel"
	Web      = "web"
)

// collectors are the processes of the collector, in the order of their start.
func (o *Options) collectors() []string {
	if o.Split {
		return []string{Intake, Sentinel, Web}
	}
	return []string{Collector}
}

// check completes the options and reports what cannot work.
func (o *Options) check() error {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.ReadyWithin = cmp.Or(o.ReadyWithin, 30*time.Second)
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return fmt.Errorf("folder of the lab: %w", err)
	}
	for _, name := range []string{"andon-agent", "andon-broker", "andon-collector"} {
		if _, err := exec.LookPath(filepath.Join(o.Bin, name)); err != nil {
			return ops.Hint(fmt.Errorf("find the binaries: there is no %s in %s", name, o.Bin),
				"build them with: make build; or name their folder with --bin")
		}
	}
	if o.Bin, err = filepath.Abs(o.Bin); err != nil {
		return fmt.Errorf("find the binaries: %w", err)
	}
	if len(o.Cells) == 0 && !o.DatabaseOnly {
		return errors.New("a factory needs at least one cell")
	}
	seen := map[string]bool{Postgres: true, Broker: true}
	for _, name := range o.collectors() {
		seen[name] = true
	}
	for i := range o.Cells {
		c := &o.Cells[i]
		if err := (telemetry.Node{Group: c.group(), ID: c.Name}).Check(); err != nil {
			return err
		}
		if seen[c.Name] {
			return fmt.Errorf("the name %s is used twice", c.Name)
		}
		seen[c.Name] = true
		if c.Dynos.Stations > 0 {
			continue
		}
		files := []*string{&c.Replay.File}
		if c.Live.File != "" {
			files = append(files, &c.Live.File)
		}
		for _, file := range files {
			if err := findFile(c.Name, file); err != nil {
				return err
			}
		}
	}
	return nil
}

// findFile makes a path whole, and reports one that is no file.
func findFile(cell string, path *string) (err error) {
	if *path, err = filepath.Abs(*path); err != nil {
		return fmt.Errorf("file of %s: %w", cell, err)
	}
	if fi, err := os.Stat(*path); err != nil {
		return fmt.Errorf("file of %s: %w", cell, err)
	} else if fi.IsDir() {
		return fmt.Errorf("file of %s: %s is a folder", cell, *path)
	}
	return nil
}

// FindBinaries returns the folder with the daemons: dir where it is given, else that
// of the running program, else ./bin, else where PATH has andon-agent.
func FindBinaries(dir string) string {
	if dir != "" {
		return dir
	}
	if self, err := os.Executable(); err == nil {
		if _, err := os.Stat(filepath.Join(filepath.Dir(self), "andon-agent")); err == nil {
			return filepath.Dir(self)
		}
	}
	if path, err := exec.LookPath("andon-agent"); err == nil {
		return filepath.Dir(path)
	}
	return "bin"
}
