package verify

import (
	"math/rand/v2"
	"slices"
	"time"

	"andon.internal/lab/cable"
	"andon.internal/lab/factory"
)

// Kind says what a fault does.
type Kind string

// The kinds of faults.
const (
	Kill   = Kind("kill")       // SIGKILL to a process
	Cut    = Kind(cable.Cut)    // of the cell's cable
	Silent = Kind(cable.Silent) // the same
	// Deaf leaves the cell without acknowledgements, for longer than it waits before it
	// sends again, while what it sends is committed.
	Deaf = Kind(cable.Deaf)
)

// Fault is one planned fault.
type Fault struct {
	Kind   Kind          `json:"kind"`
	Target string        `json:"target"` // a cell or a process
	At     float64       `json:"at"`     // due when this share of the readings is committed
	Hold   time.Duration `json:"hold"`   // from the fault to its cure
	// After, when not 0, makes the fault due so long after the one before it, which
	// may still hold, whatever is committed.
	After time.Duration `json:"after,omitempty"`
}

// plan draws the faults of a run from its seed: each process killed at least once,
// the cable cut in all three ways, and up to two more, in random order at random
// moments, a third of them while the one before still holds.
func plan(seed uint64, cell string) []Fault {
	rng := rand.New(rand.NewPCG(seed, 0x7665726966790a))
	processes := []string{factory.Postgres, factory.Broker, factory.Collector, cell}
	faults := []Fault{{Kind: Cut, Target: cell}, {Kind: Silent, Target: cell}, {Kind: Deaf, Target: cell}}
	for _, p := range processes {
		faults = append(faults, Fault{Kind: Kill, Target: p})
	}
	for range rng.IntN(3) {
		faults = append(faults, Fault{Kind: Kill, Target: processes[rng.IntN(len(processes))]})
	}
	rng.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })

	at := make([]float64, len(faults))
	for i := range at {
		at[i] = 0.03 + 0.82*rng.Float64()
	}
	slices.Sort(at)
	for i := range faults {
		f := &faults[i]
		f.At = at[i]
		least, most := 200*time.Millisecond, 2*time.Second
		switch f.Kind {
		case Cut, Silent:
			most = 3 * time.Second
		case Deaf:
			least, most = 6*time.Second, 8*time.Second
		}
		f.Hold = (least + time.Duration(rng.Int64N(int64(most-least)))).Round(time.Millisecond)
		if i > 0 && rng.IntN(3) == 0 && f.compatible(faults[:i]) {
			before := &faults[i-1]
			f.At = before.At
			f.After = max(time.Millisecond, time.Duration(rng.Int64N(int64(before.Hold))).Round(time.Millisecond))
		}
	}
	return faults
}

// compatible reports whether the fault can come while any of the chain of faults
// just before it still holds: nothing can be broken twice.
func (f *Fault) compatible(before []Fault) bool {
	for i := len(before) - 1; i >= 0; i-- {
		b := &before[i]
		if b.Target == f.Target && (b.Kind == Kill) == (f.Kind == Kill) {
			return false
		}
		if b.After == 0 {
			return true
		}
	}
	return true
}
