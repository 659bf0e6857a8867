package chaos

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"

	"andon.internal/lab/factory"
)

// cut is a planned cut of a machine's power.
type cut struct {
	gap    time.Duration // since the machine was started; how long to wait at most where write is set
	write  int           // wait for this write into the folder of the buffer instead
	behind time.Duration // that, or behind asking the cell
	dark   time.Duration // until the machine is started again
}

// planCuts draws the cuts of one machine in a round.
func planCuts(seed uint64, round int, name string) []cut {
	rng := stream(seed, round, name)
	if name == factory.Postgres {
		list := make([]cut, databaseCuts)
		for i := range list {
			list[i] = cut{gap: between(rng, 100*time.Millisecond, 8*time.Second), dark: between(rng, 0, time.Second)}
		}
		return list
	}
	list := make([]cut, cellCuts)
	for i := range list {
		c := &list[i]
		// As often within a start as behind it: as many cuts before 600 ms as after.
		c.gap = spread(rng, 50*time.Millisecond, 8*time.Second)
		c.behind, c.dark = between(rng, 0, 50*time.Millisecond), between(rng, 0, 400*time.Millisecond)
		if rng.IntN(3) == 0 { // between the writes of a start, or of the first readings
			c.gap, c.write, c.behind = 3*time.Second, 1+rng.IntN(30), between(rng, 0, 5*time.Millisecond)
		}
	}
	return list
}

// stream is a source of random numbers of its own for one use in a round.
func stream(seed uint64, round int, use string) *rand.Rand {
	h := fnv.New32a()
	_, _ = h.Write([]byte(use)) // never fails
	return rand.New(rand.NewPCG(seed, uint64(round)<<32|uint64(h.Sum32())))
}

func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return (least + time.Duration(rng.Int64N(int64(most-least)+1))).Round(time.Millisecond)
}

// spread draws so that every order of magnitude comes as often.
func spread(rng *rand.Rand, least, most time.Duration) time.Duration {
	return time.Duration(float64(least) * math.Pow(float64(most)/float64(least), rng.Float64())).Round(time.Millisecond)
}
