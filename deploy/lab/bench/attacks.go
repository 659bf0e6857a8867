package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"andon.internal/lab/factory"
	"andon.internal/shared/siege"
)

// What a broker under attack should keep.
const (
	// AttackRatio is what the p99 of honest cells may become, in times of the quiet one.
	AttackRatio = 2.0
	// AttackFloor is by how many milliseconds the p99 may grow whatever the ratio. Attackers,
	// honest cells and broker share the processors: of a quiet p99 near one millisecond,
	// twice as much is what the scheduler gives and takes.
	AttackFloor = 5.0
	// AttackMemory is the most that the broker's process may take, in MiB.
	AttackMemory = 256.0
	// FullMemory is the same where readers' queues, or packets that come in, are filled up to
	// their bounds: what the container of compose.yaml has. The process sets itself a limit
	// below it, and lets garbage grow that far.
	FullMemory = 1280.0
)

// AttackReport holds the figures of [Attacks].
type AttackReport struct {
	Machine  Machine  `json:"machine"`
	Short    bool     `json:"short"`
	Cells    int      `json:"cells"`
	Hz       int      `json:"hz"`
	Connects int      `json:"connects_per_s"` // of an attack that connects
	Packets  int      `json:"packets_per_s"`  // of an attack that sends
	Held     int      `json:"held"`           // connections, of one that holds them
	Attacks  []Attack `json:"attacks"`
}

// Attack is what one attack did to honest cells and to the broker.
type Attack struct {
	Name string `json:"name"`
	TLS  bool   `json:"tls"`
	// From when an honest message was due until the collector had it.
	Quiet    Spread  `json:"quiet"`
	Attacked Spread  `json:"attacked"`
	Ratio    float64 `json:"ratio"`   // of the two p99
	Memory   float64 `json:"rss_mib"` // the most that the broker's process ever took
	Fills    bool    `json:"fills"`   // see siege.Attack
	Missing  int     `json:"missing"` // honest messages that never came
	Lost     string  `json:"lost,omitempty"`
	Rejoin   bool    `json:"rejoin"` // a cell that was not there before came in meanwhile
	Tries    int     `json:"tries"`  // how often it was measured; these figures are the last
	Counter  string  `json:"counter"`
	Counted  float64 `json:"counted"` // by how much it rose
}

// Quick reports whether the honest cells' p99 stayed within its bounds.
func (a *Attack) Quick() bool {
	return a.Attacked.N > 0 && (a.Ratio < AttackRatio || a.Attacked.P99 < a.Quiet.P99+AttackFloor)
}

// Small reports whether the broker's process stayed within its memory.
func (a *Attack) Small() bool {
	if a.Fills {
		return a.Memory <= FullMemory
	}
	return a.Memory <= AttackMemory
}

// Stood reports whether honest cells lost nothing, and the attack was counted.
func (a *Attack) Stood() bool {
	return a.Missing == 0 && a.Lost == "" && a.Rejoin && a.Counted > 0
}

// Faults says where an attack went beyond a bound, one fault each; none of timing and
// memory from a short run.
func (r *AttackReport) Faults() []string {
	var faults []string
	for i := range r.Attacks {
		a := &r.Attacks[i]
		add := func(format string, args ...any) { faults = append(faults, a.title()+": "+fmt.Sprintf(format, args...)) }
		if !a.Stood() {
			add("%d honest messages missing, %q, another cell came in: %v, %s rose by %v", a.Missing, a.Lost, a.Rejoin, a.Counter, a.Counted)
		}
		if r.Short {
			continue
		}
		if !a.Quick() {
			add("p99 of honest cells %.1f ms, quiet %.1f ms", a.Attacked.P99, a.Quiet.P99)
		}
		if !a.Small() {
			add("the broker took %.0f MiB", a.Memory)
		}
	}
	return faults
}

func (a *Attack) title() string {
	if a.TLS {
		return a.Name + ", TLS"
	}
	return a.Name
}

// attackTries is how often an attack is measured at most: the bounds of time are on a
// comparison of one part of a minute with another, and whatever else this machine begins
// to do between the two counts against the broker.
const attackTries = 3

// attackTimes are how long each attack is measured.
type attackTimes struct{ settle, quiet, attacked time.Duration }

// Attacks measures what each attack of package siege does to the latency of honest cells
// and to the memory of the broker: its real binary with its default limits, a new process
// for each attack.
func Attacks(ctx context.Context, o Options) (*AttackReport, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &AttackReport{Short: o.Short, Cells: 20, Hz: 10, Connects: 300, Packets: 20_000, Held: 2000}
	times := attackTimes{time.Second, 10 * time.Second, 12 * time.Second}
	if o.Short {
		times = attackTimes{200 * time.Millisecond, time.Second, time.Second}
	}
	r.Machine.read()
	dir, err := os.MkdirTemp("", "andon-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	bin := factory.FindBinaries(o.Bin)
	people, err := certify(ctx, bin, dir, r.Cells)
	if err != nil {
		return nil, err
	}
	for _, secure := range []bool{false, true} {
		for _, a := range siege.Attacks(secure) {
			if len(o.Only) > 0 && !slices.Contains(o.Only, a.Name) {
				continue
			}
			b := &attacked{bin: bin, dir: dir}
			if secure {
				b.people = people
			}
			for try := 1; ; try++ {
				o.Logger.Info("attacking", "attack", a.Name, "tls", secure, "try", try)
				row, err := r.attack(ctx, b, &a, times)
				if err != nil {
					return nil, fmt.Errorf("attack %s: %w", a.Name, err)
				}
				row.Tries = try
				if o.Short || row.Quick() || !row.Stood() || try == attackTries {
					r.Attacks = append(r.Attacks, *row)
					break
				}
			}
		}
	}
	if len(r.Attacks) == 0 {
		return nil, fmt.Errorf("there is no attack %q", o.Only)
	}
	return r, nil
}

// attack measures one attack on a broker of its own.
func (r *AttackReport) attack(ctx context.Context, b *attacked, a *siege.Attack, times attackTimes) (_ *Attack, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := b.start(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	target := siege.Target{Address: b.mqtt, Connects: r.Connects, Packets: r.Packets, Held: r.Held}
	if b.people != nil {
		target.As = b.people.as
	}
	honest, err := siege.Begin(ctx, target, r.Cells, r.Hz)
	if err != nil {
		return nil, err
	}
	defer honest.Close()
	out := &Attack{Name: a.Name, TLS: b.people != nil, Fills: a.Fills, Counter: a.Counter}
	if a.Label != "" {
		out.Counter += "{" + a.Label + "}"
	}
	measure := func(d time.Duration) Spread {
		honest.Take()
		sleep(ctx, d)
		return spread(honest.Take())
	}
	sleep(ctx, times.settle)
	out.Quiet = measure(times.quiet)
	before, err := b.counter(ctx, a)
	if err != nil {
		return nil, err
	}

	assault, end := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		a.Run(assault, target)
	}()
	defer func() { end(); <-over }()
	out.Attacked = measure(times.attacked)
	// Some bounds are times, of up to ten seconds.
	for begun := time.Now(); out.Counted == 0 && time.Since(begun) < 30*time.Second; sleep(ctx, 100*time.Millisecond) {
		now, err := b.counter(ctx, a)
		if err != nil {
			return nil, err
		}
		out.Counted = now - before
	}
	for range 20 {
		if out.Rejoin = siege.Rejoin(ctx, target, r.Cells-1) == nil; out.Rejoin {
			break
		}
	}
	end()
	<-over
	if out.Memory, err = b.peak(); err != nil {
		return nil, err
	}
	if err := honest.Settle(ctx, 10*time.Second); err != nil {
		out.Lost = err.Error()
	}
	out.Missing = honest.Missing()
	out.Ratio = out.Attacked.P99 / cmp.Or(out.Quiet.P99, 0.001)
	return out, ctx.Err()
}

// sleep waits, or until the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
