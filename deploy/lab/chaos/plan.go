package chaos

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// Strike is one planned fault.
type Strike struct {
	Fault  *Fault
	Target string
	At     time.Duration // since the round began
	Hold   time.Duration // until its cure
}

// strikesARound is how many faults a round has.
const strikesARound = 5

// plan draws the faults of a round. Every fault comes up once before any comes again.
// Those that need the same thing follow each other, all others overlap as they fall.
func plan(seed uint64, round int, faults []*Fault, span time.Duration) []Strike {
	var list []Strike
	free := map[string]time.Duration{}
	rng := rand.New(rand.NewPCG(seed, uint64(round)))
	if span == 0 {
		span = 20*time.Second + time.Duration(rng.Int64N(int64(40*time.Second)))
	}
	for n := range min(strikesARound, len(faults)) {
		// A round behind the other, this counts through shuffled decks.
		nth := (round-1)*min(strikesARound, len(faults)) + n
		deck := rand.New(rand.NewPCG(seed, uint64(1_000_000+nth/len(faults)))).Perm(len(faults))
		f := faults[deck[nth%len(faults)]]
		s := Strike{Fault: f, Target: f.Targets[rng.IntN(len(f.Targets))]}
		s.Hold = f.Least + time.Duration(rng.Int64N(int64(f.Most-f.Least)+1))
		s.Hold = min(s.Hold, span)
		s.At = time.Duration(rng.Int64N(int64(max(span-s.Hold, span/2))))
		for _, what := range f.needs(s.Target) {
			s.At = max(s.At, free[what])
		}
		for _, what := range f.needs(s.Target) {
			free[what] = s.At + s.Hold + time.Second
		}
		s.At, s.Hold = s.At.Round(time.Millisecond), s.Hold.Round(time.Millisecond)
		list = append(list, s)
	}
	slices.SortStableFunc(list, func(a, b Strike) int { return cmp.Compare(a.At, b.At) })
	return list
}
