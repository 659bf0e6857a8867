package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"andon.internal/lab/factory"
	"andon.internal/lab/loopdisk"
	"andon.internal/shared/ops"
)

// wants is what some faults need beyond what all do: of the machine, or of the programs.
var wants = map[string]func(*Options) error{
	"slow-disk":    func(*Options) error { return loopdisk.Throttles() },
	"clock-ahead":  clocked,
	"clock-behind": clocked,
	"clock-1970":   clocked,
	"clock-steps":  clocked,
}

// clocked says whether the agent is one whose clock can be set.
func clocked(o *Options) error {
	path := filepath.Join(factory.FindBinaries(o.Bin), "andon-agent")
	program, err := os.ReadFile(path)
	if err == nil && !bytes.Contains(program, []byte(clockVariable)) {
		err = errors.New("it has the machine's clock")
	}
	if err != nil {
		return ops.Hint(fmt.Errorf("set the clock of %s: %w", path, err), "deploy/scripts/clocked FOLDER builds one that has its own; give --bin FOLDER")
	}
	return nil
}

// choose returns the faults that are named, or all that can be: which cannot is told.
func choose(o *Options) ([]*Fault, error) {
	var out []*Fault
	for _, name := range o.Only {
		i := slices.IndexFunc(Faults, func(f *Fault) bool { return f.Name == name })
		if i < 0 {
			return nil, ops.UsageError(fmt.Errorf("there is no fault %q", name), "andon-lab chaos --list names them")
		}
		if want := wants[name]; want != nil {
			if err := want(o); err != nil {
				return nil, err
			}
		}
		out = append(out, Faults[i])
	}
	if len(o.Only) > 0 {
		return out, nil
	}
	for _, f := range Faults {
		if slices.Contains(losing, f.Name) && o.Seed%losingSeeds != 0 {
			fmt.Fprintf(o.Out, "%s is left out: it comes with seeds that %d divides, or by its name\n", f.Name, losingSeeds)
			continue
		}
		if want := wants[f.Name]; want != nil {
			if err := want(o); err != nil {
				fmt.Fprintf(o.Out, "%s is left out: %v\n", f.Name, err)
				continue
			}
		}
		out = append(out, f)
	}
	return out, nil
}
