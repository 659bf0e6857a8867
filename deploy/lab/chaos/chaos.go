package chaos

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/checker"
	"andon.internal/lab/cmapss"
	"andon.internal/lab/factory"
	"andon.internal/shared/netns"
	"andon.internal/shared/telemetry"
)

// Options of a run. Seed is required.
type Options struct {
	Seed   uint64
	First  int           // the first round; 1
	Rounds int           // 1
	Only   []string      // names of faults; all
	Span   time.Duration // of the faults of a round; drawn from 20 to 60 s when 0
	FS     string        // ext4 or xfs; ext4
	Write  string        // of the cells' buffers: behind, ahead, or both: one cell each, by the seed; behind
	Bin    string        // see factory.FindBinaries
	PgBin  string
	Keep   string       // a folder to which the logs are copied after a round that found something; none
	Out    io.Writer    // hears every action; default: nobody
	Done   func(*Round) // is called after every round

	// PowerCuts has rounds of power cuts in place of faults that overlap.
	PowerCuts bool
	postgres  map[string]string // more settings of PostgreSQL

	script []Strike // in place of what the seed draws
	losing bool     // the faults are among those by which a database loses commits
}

const (
	units  = 5
	period = 100 * time.Millisecond
	// roundsAWorld bounds the file that is replayed, and the journal.
	roundsAWorld = 10
	// longestRound is what a round may take, for the length of the file.
	longestRound = 4 * time.Minute
)

var groups = map[string]string{fileCell: "plant-file", dynoCell: "plant-dyno"}

// rig is one factory in its world.
type rig struct {
	opt      Options
	w        *world
	f        *factory.Factory
	broker   string
	declared checker.Declared // what the file holds
	journal  *journal
	asking   sync.Mutex     // held while the cell of dynos is asked, or must not be
	starting sync.Mutex     // guards starts
	starts   map[string]int // of processes, by us
	excused  map[string]bool
	poisoned poisoned
	after    []func(context.Context, *Round) error // what faults of the round look at when all is whole
	restored time.Time                             // when the database last lost commits: records are sent again
	heldUp   time.Time                             // until when a fault held up what the cell of dynos writes
	saying   bool                                  // what it lost is printed when all is whole
	lacking  bool                                  // it did in this round
	resent   map[string]float64                    // cell -> records that its agent had sent again, last
	cloning  bool                                  // in this round readings of the dynos may have been stored under another name
	cloned   time.Time                             // when the last such round was judged
	rowless  uint64                                // positions that have no rows since then
	round    int
	stored   int          // readings, when the last round was checked
	safe     int          // of them declared safe by the cell of dynos, when the last round of power cuts was
	over     atomic.Int64 // looks at which a cell was beyond its credit
	accused  []string     // what cures of this round have found
}

// Run breaks a factory for some rounds. An error is the rig's; what a round found is in it.
func Run(ctx context.Context, o Options) error {
	o.First, o.Rounds, o.FS, o.Write = cmp.Or(o.First, 1), cmp.Or(o.Rounds, 1), cmp.Or(o.FS, "ext4"), cmp.Or(o.Write, writeBehind)
	if o.Out == nil {
		o.Out = io.Discard
	}
	faults, err := choose(&o)
	if err != nil {
		return err
	}
	o.losing = o.script == nil && loses(faults)
	for next := o.First; next < o.First+o.Rounds; {
		next, err = inWorld(ctx, o, faults, next, min(next+roundsAWorld, o.First+o.Rounds))
		if err != nil {
			return err
		}
	}
	return nil
}

// inWorld plays the rounds from first to before last in a world of their own, which ends
// with a round that finds something, so that nothing is found twice. It returns the
// round that is next.
func inWorld(ctx context.Context, o Options, faults []*Fault, first, last int) (next int, err error) {
	w, err := newWorld(ctx)
	if err != nil {
		return first, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	r := &rig{opt: o, w: w, starts: map[string]int{}, resent: map[string]float64{}, excused: map[string]bool{}}
	if err := r.build(ctx, last-first); err != nil {
		return first, err
	}
	defer func() { err = errors.Join(err, r.f.Close(true)) }()
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	var askErr error
	asking.Go(func() { askErr = r.ask(ctx) })
	defer func() { cancel(); asking.Wait(); err = errors.Join(err, askErr) }()
	for n := first; n < last; n++ {
		r.round = n
		round, err := r.playRound(ctx, faults)
		if err != nil {
			return n, err
		}
		if o.Done != nil {
			o.Done(round)
		}
		if !round.OK() {
			return n + 1, nil
		}
	}
	return last, nil
}

// playRound plays one round.
func (r *rig) playRound(ctx context.Context, faults []*Fault) (*Round, error) {
	switch {
	case r.opt.PowerCuts:
		return r.playCuts(ctx)
	case r.opt.script != nil:
		return r.play(ctx, r.opt.script)
	}
	return r.play(ctx, plan(r.opt.Seed, r.round, faults, r.opt.Span))
}

// build makes the namespaces and disks and starts the factory in them.
func (r *rig) build(ctx context.Context, rounds int) error {
	sites := map[string]factory.Site{}
	for _, name := range processes {
		h, err := r.w.add(ctx, name)
		if err != nil {
			return err
		}
		site := factory.Site{Netns: h.path(), Host: h.addr}
		if name != factory.Broker && name != factory.Collector {
			if err := r.w.addDisk(ctx, h, r.opt.FS); err != nil {
				return err
			}
			site.Data = h.disk.Mount
			if name != factory.Postgres {
				site.Data = r.data(name)
			}
			if name == dynoCell {
				if err := r.giveClock(); err != nil {
					return err
				}
				site.Env = []string{clockVariable + "=" + r.clockFile()}
			}
		}
		sites[name] = site
	}
	start := time.Now().Truncate(time.Millisecond)
	path := filepath.Join(r.w.dir, "file.txt")
	if err := r.generate(path, start, rounds); err != nil {
		return err
	}
	r.journal = newJournal(dynoProfile())
	dir := filepath.Join(r.w.dir, "lab")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	var err error
	settings := map[string]string{"max_wal_size": "64MB", "min_wal_size": "32MB", "shared_buffers": "32MB"}
	maps.Copy(settings, r.opt.postgres)
	r.f, err = factory.Start(ctx, factory.Options{
		Dir: dir, Bin: factory.FindBinaries(r.opt.Bin), PgBin: r.opt.PgBin, Sites: sites, TLS: true,
		PgSettings: settings,
		Cells: []factory.Cell{
			{Name: fileCell, Group: groups[fileCell], Buffer: r.opt.buffer(fileCell), Replay: factory.Replay{
				File: path, UnitPrefix: "engine-", Period: period, Speed: "1", Start: start,
			}},
			{Name: dynoCell, Group: groups[dynoCell], Buffer: r.opt.buffer(dynoCell), Dynos: factory.Dynos{
				Stations: units, Rate: float64(time.Second / period), Seed: r.opt.Seed, Programme: time.Minute, Idle: 2 * time.Second,
			}},
		},
		ReadyWithin: 2 * time.Minute, Logger: slog.New(slog.NewTextHandler(r.opt.Out, nil)),
	})
	if err != nil {
		return err
	}
	r.broker = r.f.Status(ctx).Broker
	for _, p := range r.f.Status(ctx).Processes {
		r.starts[p.Name] = p.Starts
	}
	return nil
}

// generate writes the file, and declares all of it.
func (r *rig) generate(path string, start time.Time, rounds int) error {
	cycles := int(time.Duration(rounds) * longestRound / period)
	if r.opt.Span > 0 {
		cycles = int(time.Duration(rounds) * (r.opt.Span + longestRound - time.Minute) / period)
	}
	var b bytes.Buffer
	if err := cmapss.Generate(&b, cmapss.Spec{Seed: r.opt.Seed, Engines: units, Cycles: cycles, Exact: true}); err != nil {
		return err
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return err
	}
	file, err := cmapss.Read(&b)
	if err != nil {
		return err
	}
	d := checker.Declared{Group: groups[fileCell], Profile: "turbofan", Units: map[string][]checker.Reading{}}
	for _, name := range cmapss.Columns {
		d.Signals = append(d.Signals, telemetry.Signal{Name: name, Type: telemetry.Double})
	}
	for i := range file.Lines {
		l := &file.Lines[i]
		reading := checker.Reading{Time: start.Add(time.Duration(l.Cycle) * period).UnixMicro()}
		for _, v := range l.Values {
			reading.Values = append(reading.Values, telemetry.DoubleValue(v))
		}
		unit := "engine-" + strconv.Itoa(l.Engine)
		d.Units[unit] = append(d.Units[unit], reading)
	}
	r.declared = d
	return nil
}

// ask asks the cell of dynos again and again, until ctx ends.
func (r *rig) ask(ctx context.Context) error {
	for ctx.Err() == nil {
		r.asking.Lock()
		err := r.journal.ask(ctx, r.f.Bin(), r.data(dynoCell))
		if err == nil {
			r.watchCredit(ctx)
		}
		r.asking.Unlock()
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("ask %s what it holds: %w", dynoCell, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	return nil
}

// connect connects to the database from its own namespace.
func (r *rig) connect(ctx context.Context) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig(r.f.DSN())
	if err != nil {
		return nil, err
	}
	dial := netns.Dialer(r.w.hosts[factory.Postgres].path())
	c.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dial(ctx, network, address)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return pgx.ConnectConfig(ctx, c)
}

// say prints what is done, with its time.
func (r *rig) say(format string, args ...any) {
	fmt.Fprintf(r.opt.Out, "%s  round %d  %s\n", time.Now().Format("15:04:05.000"), r.round, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}
