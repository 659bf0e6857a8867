package cmapss

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
)

// Spec says what to generate. The same Spec gives the same bytes.
type Spec struct {
	Seed    uint64
	Engines int
	// Cycles is the mean life of an engine; lives lie within 40 % of it. With
	// Exact every engine lives exactly that long.
	Cycles int
	Exact  bool
}

// condition is one of the six conditions that the engines of the subsets FD002 and
// FD004 fly in, with what a healthy engine then shows.
type condition struct {
	altitude, mach, angle float64 // kft, -, %
	sensors               [21]float64
}

var conditions = [6]condition{
	{0, 0, 100, [21]float64{518.67, 642.40, 1588.0, 1405.0, 14.62, 21.61, 553.90, 2388.04, 9055.0, 1.30, 47.40, 521.80, 2388.04, 8135.0, 8.4300, 0.03, 393, 2388, 100.00, 38.90, 23.3500}},
	{10, 0.25, 100, [21]float64{489.05, 604.60, 1502.0, 1306.0, 10.52, 15.49, 394.50, 2318.90, 8770.0, 1.26, 45.40, 371.60, 2388.10, 8128.0, 8.6500, 0.03, 369, 2319, 100.00, 28.55, 17.1400}},
	{20, 0.70, 100, [21]float64{491.19, 607.30, 1478.0, 1246.0, 9.35, 13.65, 334.50, 2323.90, 8718.0, 1.08, 44.25, 315.20, 2388.05, 8060.0, 9.2200, 0.02, 365, 2324, 100.00, 24.55, 14.7500}},
	{25, 0.62, 60, [21]float64{462.54, 536.60, 1262.0, 1047.0, 7.05, 9.03, 175.50, 1915.20, 8008.0, 0.94, 36.55, 164.70, 2028.10, 7868.0, 10.8900, 0.02, 306, 1915, 84.93, 14.30, 8.5900}},
	{35, 0.84, 100, [21]float64{449.44, 555.60, 1363.0, 1130.0, 5.48, 8.00, 194.40, 2222.90, 8342.0, 1.02, 41.90, 183.20, 2388.05, 8060.0, 9.3300, 0.02, 334, 2223, 100.00, 14.80, 8.8900}},
	{42, 0.84, 100, [21]float64{445.00, 549.60, 1351.0, 1125.0, 3.91, 5.71, 138.80, 2211.90, 8312.0, 1.02, 41.95, 130.70, 2387.95, 8080.0, 9.3600, 0.02, 331, 2212, 100.00, 10.62, 6.3700}},
}

// column is how a sensor behaves whatever the condition: by what share of its value
// wear moves it until failure, its noise as a share, and its decimals in the file.
type column struct {
	wear, noise float64
	decimals    int
}

var columns = [21]column{
	{0, 0, 2},            // T2
	{0.0030, 0.0006, 2},  // T24
	{0.0080, 0.0035, 2},  // T30
	{0.0180, 0.0040, 2},  // T50
	{0, 0, 2},            // P2
	{0, 0.0002, 2},       // P15
	{-0.0055, 0.0008, 2}, // P30
	{0.0001, 0.00002, 2}, // Nf
	{0.0030, 0.0008, 2},  // Nc
	{0, 0, 2},            // epr
	{0.0180, 0.0025, 2},  // Ps30
	{-0.0050, 0.0008, 2}, // phi
	{0.0001, 0.00002, 2}, // NRf
	{0.0030, 0.0007, 2},  // NRc
	{0.0180, 0.0030, 4},  // BPR
	{0, 0, 2},            // farB
	{0.0120, 0.0025, 0},  // htBleed
	{0, 0, 0},            // Nf_dmd
	{0, 0, 2},            // PCNfR_dmd
	{-0.0140, 0.0028, 2}, // W31
	{-0.0140, 0.0028, 4}, // W32
}

// Generate writes engines that run to failure, one after the other as in the
// published files. Each cycle is flown in one of six conditions, and wear grows
// exponentially from a small start that differs between engines.
func Generate(w io.Writer, s Spec) error {
	if s.Engines < 1 || s.Cycles < 1 {
		return errors.New("generate needs at least one engine and one cycle")
	}
	out := bufio.NewWriterSize(w, 1<<16)
	rng := rand.New(rand.NewPCG(s.Seed, 0x616e646f6e))
	var line []byte
	for engine := 1; engine <= s.Engines; engine++ {
		life := s.Cycles
		if !s.Exact {
			life = max(1, int(float64(s.Cycles)*(0.6+0.8*rng.Float64())))
		}
		start := 0.02 + 0.08*rng.Float64()
		growth := math.Log(1 / start)
		for cycle := 1; cycle <= life; cycle++ {
			wear := start * math.Exp(growth*float64(cycle)/float64(life))
			line = appendLine(line[:0], rng, engine, cycle, wear)
			if _, err := out.Write(line); err != nil {
				return fmt.Errorf("write engine %d: %w", engine, err)
			}
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write engines: %w", err)
	}
	return nil
}

func appendLine(b []byte, rng *rand.Rand, engine, cycle int, wear float64) []byte {
	c := &conditions[rng.IntN(len(conditions))]
	b = strconv.AppendInt(b, int64(engine), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(cycle), 10)
	number := func(f float64, decimals int) {
		b = append(b, ' ')
		b = strconv.AppendFloat(b, f, 'f', decimals, 64)
	}
	number(c.altitude+0.004*(rng.Float64()-0.5), 4)
	number(c.mach+0.0006*(rng.Float64()-0.5), 4)
	number(c.angle, 1)
	for i, k := range columns {
		number(c.sensors[i]*(1+k.wear*wear+k.noise*max(-3, min(3, rng.NormFloat64()))), k.decimals)
	}
	return append(b, "  \n"...) // the published files end their lines so
}
