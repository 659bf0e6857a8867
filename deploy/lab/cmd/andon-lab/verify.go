package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"andon.internal/lab/verify"
)

type verifyCmd struct {
	Replay    string        `required:"" type:"existingfile" placeholder:"FILE" help:"The file, in C-MAPSS form."`
	Speed     string        `placeholder:"FACTOR|max" help:"A factor on real time (one cycle a second), or max, the default; with --faults by default such that the file takes 25 s."`
	Faults    bool          `help:"Cut the cable twice and kill agent, broker, collector and PostgreSQL on the way."`
	Seed      uint64        `placeholder:"N" help:"Seed of the faults; by default a random one, which is printed."`
	Within    time.Duration `default:"3m" help:"How long everything may take beyond the file's own pace."`
	Mosquitto string        `type:"existingfile" placeholder:"FILE" help:"Run Mosquitto, this program, in the place of andon-broker."`
	Keep      bool          `help:"Keep the lab's folder, with logs and database."`
	JSON      bool          `name:"json" help:"Write JSON."`
	binaries
}

func (*verifyCmd) Help() string {
	return `Sends the whole file through agent, broker and collector into a fresh PostgreSQL and then
compares every valid line with the stored rows: all columns equal as float64 bit for bit, exactly
once, in order per engine, and the ledger in agreement. Exits 0 only if nothing is missing, doubled
or different. At --speed max with --faults the cable is narrowed, so that the faults meet a backlog.

Examples:
  andon-lab verify --replay train_FD001.txt
  andon-lab verify --replay train_FD001.txt --faults --seed 7
  andon-lab verify --replay train_FD001.txt --faults --speed max --json
  andon-lab verify --replay train_FD001.txt --faults --mosquitto /usr/sbin/mosquitto`
}

func (c *verifyCmd) Run(ctx context.Context, t terminal) error {
	if c.Faults && c.Seed == 0 {
		c.Seed = rand.Uint64N(1 << 32)
	}
	if c.Faults {
		fmt.Fprintf(t.err, "faults from seed %d; repeat them with --seed %d\n", c.Seed, c.Seed)
	}
	r, err := verify.Run(ctx, verify.Options{
		Replay: c.Replay, Speed: c.Speed, Faults: c.Faults, Seed: c.Seed, Within: c.Within, Keep: c.Keep,
		Bin: c.Bin, PgBin: c.PgBin, Mosquitto: c.Mosquitto, Logger: t.logger(),
	})
	if err != nil {
		return interrupted(ctx, err)
	}
	if c.JSON {
		enc := json.NewEncoder(t.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return err
		}
	} else {
		writeReport(t.out, r)
	}
	if !r.Passed {
		return errors.New("what is stored is not what the file holds")
	}
	return nil
}

func writeReport(out io.Writer, r *verify.Report) {
	for i, a := range r.Faults {
		if i == 0 {
			fmt.Fprintf(out, "faults of seed %d:\n", r.Seed)
		}
		fmt.Fprintf(out, "  %s  %-10s  %-10s  for %-7v  %6d rows committed", a.Time.Format("15:04:05.000"), a.Kind, a.Target, a.Hold, a.Rows)
		for i, d := range a.During {
			if i == 0 {
				fmt.Fprint(out, "  while broken: ")
			} else {
				fmt.Fprint(out, ", ")
			}
			fmt.Fprint(out, d)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "%s at speed %s, %.1f s\n", r.File, r.Speed, r.Seconds)
	for _, l := range []struct {
		name  string
		count int
	}{
		{"lines read", r.Lines},
		{"malformed", r.Malformed},
		{"rows stored", r.Stored},
		{"missing", r.Missing},
		{"doubled", r.Doubled},
		{"different", r.Different},
	} {
		fmt.Fprintf(out, "  %-12s %8d\n", l.name, l.count)
	}
	if r.Unexpected > 0 || r.Disordered > 0 {
		fmt.Fprintf(out, "  %-12s %8d\n  %-12s %8d\n", "unexpected", r.Unexpected, "disordered", r.Disordered)
	}
	agrees := "agrees"
	if !r.Ledger.OK() {
		agrees = "DISAGREES"
	}
	fmt.Fprintf(out, "ledger %s: %d epochs, %d positions committed, %d lost, %d quarantined; %d repeats recognised\n",
		agrees, r.Ledger.Epochs, r.Ledger.Committed, r.Ledger.Lost, r.Ledger.Quarantined, r.Ledger.Repeats)
	for _, list := range [][]string{r.Examples, r.Ledger.Examples, r.Problems} {
		for _, e := range list {
			fmt.Fprintln(out, "  !", e)
		}
	}
	if r.Data != "" {
		fmt.Fprintln(out, "kept:", r.Data)
	}
	if r.Passed {
		fmt.Fprintln(out, "ok")
	}
}
