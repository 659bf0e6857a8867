package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"andon.internal/lab/bench"
)

type benchAttacksCmd struct {
	benchFlags
	Only []string `placeholder:"NAME" help:"Only these attacks, by name; may be repeated."`
	Bin  string   `placeholder:"DIR" help:"Where the binaries are; by default beside this one."`
}

func (*benchAttacksCmd) Help() string {
	return `Attacks the broker's real binary, with its default limits, without TLS and with it: huge first
packets, thousands of connections and handshakes, slow ones, floods of topics, subscriptions and
retained messages, wills, client ids of others, malformed packets, readers that do not read. Meanwhile
20 honest cells publish ten times a second each at QoS 1, and their latency is compared with the quiet
seconds before. Attackers are paced, since all share this machine, and what is beyond its bound of time
is measured again, up to three times, since others may share it too. The command fails when a p99 is
beyond its bound, the broker takes too much memory, an honest message is lost, or no counter tells of
the attack. Takes about twelve minutes.

Examples:
  andon-lab bench attacks
  andon-lab bench attacks --only "topic flood"
  andon-lab bench attacks --short --json`
}

func (c *benchAttacksCmd) Run(ctx context.Context, t terminal) error {
	r, err := bench.Attacks(ctx, bench.Options{Short: c.Short, Only: c.Only, Bin: c.Bin, Logger: t.logger()})
	if err != nil {
		return interrupted(ctx, err)
	}
	err = c.write(t.out, r, func() error { return writeAttackFigures(t.out, r) })
	if faults := r.Faults(); err == nil && len(faults) > 0 {
		return fmt.Errorf("the broker did not stand %d times: %s", len(faults), strings.Join(faults, "; "))
	}
	return err
}

func writeAttackFigures(out io.Writer, r *bench.AttackReport) error {
	writeMachine(out, &r.Machine, r.Short)
	fmt.Fprintf(out, "%d honest cells x %d Hz; attackers: %d connections/s, %d packets/s, %d connections held\n", r.Cells, r.Hz, r.Connects, r.Packets, r.Held)
	fmt.Fprintf(out, "bounds: p99 below %.0f x the quiet one or less than %.0f ms above it; memory below %.0f MiB, filled up to its bounds %.0f MiB\n",
		bench.AttackRatio, bench.AttackFloor, bench.AttackMemory, bench.FullMemory)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, tls := range []bool{false, true} {
		fmt.Fprintf(w, "\n%s\tquiet p99 ms\tattacked p99 ms\tratio\tmax ms\ttries\tRSS MiB\tcounter\trose by\t\n", map[bool]string{false: "WITHOUT TLS", true: "WITH TLS"}[tls])
		for i := range r.Attacks {
			a := &r.Attacks[i]
			if a.TLS == tls {
				fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t%.1f\t%d\t%.0f\t%s\t%.0f\t%s\n", a.Name, a.Quiet.P99, a.Attacked.P99, a.Ratio,
					a.Attacked.Max, a.Tries, a.Memory, a.Counter, a.Counted, verdict(a.Stood() && a.Quick() && a.Small()))
			}
		}
	}
	return w.Flush()
}
