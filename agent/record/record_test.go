package record_test

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"andon.internal/agent/record"
	"andon.internal/shared/telemetry"
)

// mixed has a signal of each type.
var mixed = &telemetry.Profile{Name: "mixed", Version: 1, Signals: []telemetry.Signal{
	{Name: "torque", Type: telemetry.Double},
	{Name: "speed", Type: telemetry.Real},
	{Name: "cycles", Type: telemetry.Integer},
	{Name: "running", Type: telemetry.Boolean},
}}

func lookup(profiles ...*telemetry.Profile) func(uint64) *telemetry.Profile {
	return func(fp uint64) *telemetry.Profile {
		for _, p := range profiles {
			if p.Fingerprint() == fp {
				return p
			}
		}
		return nil
	}
}

// double wraps a column of float64 into a record with a reading every second.
func double(values ...float64) *telemetry.Record {
	p := &telemetry.Profile{Name: "one", Version: 1, Signals: []telemetry.Signal{{Name: "x", Type: telemetry.Double}}}
	r := &telemetry.Record{Unit: "u", Profile: p}
	for i, v := range values {
		r.Append(int64(i)*1e9, 0, []telemetry.Value{telemetry.DoubleValue(v)})
	}
	return r
}

func checkRoundTrip(t *testing.T, r *telemetry.Record) []byte {
	t.Helper()
	if err := r.Check(); err != nil {
		t.Fatalf("the record to encode is not valid: %v", err)
	}
	b := record.Append([]byte("before"), r)[len("before"):]
	got, err := record.Decode(b, lookup(r.Profile))
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	if !reflect.DeepEqual(got, r) {
		t.Fatalf("came back different\n got %+v\nwant %+v", got, r)
	}
	fp, err := record.Fingerprint(b)
	if err != nil || fp != r.Profile.Fingerprint() {
		t.Fatalf("fingerprint %x, %v, want %x", fp, err, r.Profile.Fingerprint())
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	missing := telemetry.Value{}
	row := func(f float64, r float32, i int64, b bool) []telemetry.Value {
		return []telemetry.Value{
			telemetry.DoubleValue(f), telemetry.RealValue(r), telemetry.IntegerValue(i), telemetry.BooleanValue(b),
		}
	}
	tests := map[string]func(r *telemetry.Record){
		"one row": func(r *telemetry.Record) { r.Append(1767323045e9, 0, row(1.5, 2.5, 3, true)) },
		"end without rows": func(r *telemetry.Record) {
			r.End = &telemetry.End{Time: -5, Reason: strings.Repeat("r", telemetry.MaxTextLength)}
		},
		"end with rows": func(r *telemetry.Record) {
			r.Append(7e9, 0, row(0, 0, 0, false))
			r.End = &telemetry.End{Time: 8e9, Reason: "finished"}
		},
		"everything missing": func(r *telemetry.Record) {
			for i := range 9 {
				r.Append(int64(i)*1e6, telemetry.QualityMissing, []telemetry.Value{missing, missing, missing, missing})
			}
		},
		"some missing": func(r *telemetry.Record) {
			for i := range 17 {
				v := row(float64(i), float32(i), int64(i), i%2 == 0)
				v[i%4] = missing
				r.Append(int64(i)*1e6, telemetry.QualityMissing, v)
			}
		},
		"the last only": func(r *telemetry.Record) {
			for i := range 8 {
				v := []telemetry.Value{missing, missing, missing, missing}
				if i == 7 {
					v = row(math.Pi, math.Pi, math.MinInt64, true)
				}
				r.Append(int64(i)*1e6, 0, v)
			}
		},
		"extremes": func(r *telemetry.Record) {
			r.Born, r.Count = math.MinInt64, math.MaxUint64
			r.Clock = telemetry.Clock{Boot: [16]byte{15: 1}, Offset: math.MinInt64, Quality: 255}
			r.Append(math.MinInt64, telemetry.QualityMask, row(math.MaxFloat64, math.MaxFloat32, math.MinInt64, true))
			r.Append(math.MaxInt64, 0, row(-math.MaxFloat64, -math.MaxFloat32, math.MaxInt64, false))
		},
		"not numbers": func(r *telemetry.Record) {
			r.Append(1e6, 0, row(math.NaN(), float32(math.NaN()), 0, false))
			r.Append(2e6, 0, row(math.Inf(-1), float32(math.Inf(1)), 0, false))
			r.Append(3e6, 0, row(math.Copysign(0, -1), float32(math.Copysign(0, -1)), 0, false))
			r.Append(4e6, 0, row(math.Float64frombits(0x7ff0000000000001), math.Float32frombits(0x7f800001), 0, false))
			r.Append(5e6, 0, row(5e-324, math.SmallestNonzeroFloat32, 0, false))
		},
		"times before 1970, below a ms": func(r *telemetry.Record) {
			for i := range 100 {
				r.Append(int64(i-50)*1_000_003-7, telemetry.Quality(i%3), row(1, 1, 1, true))
			}
		},
		"most rows": func(r *telemetry.Record) {
			for i := range telemetry.MaxRows {
				r.Append(int64(i)*2e6, telemetry.Quality(i/1000), row(float64(i)/100, float32(i)/10, int64(i*i), i > 2000))
			}
		},
	}
	for name, fill := range tests {
		t.Run(name, func(t *testing.T) {
			r := &telemetry.Record{Unit: "act-0042", Profile: mixed, Born: 1767323045e9, Count: 12}
			fill(r)
			checkRoundTrip(t, r)
		})
	}
}

// TestColumns holds each form of a column to the size it is for.
func TestColumns(t *testing.T) {
	header := len(checkRoundTrip(t, double(0)))
	rng := rand.New(rand.NewPCG(1, 2))
	series := func(f func(i int) float64) []float64 {
		v := make([]float64, 200)
		for i := range v {
			v[i] = f(i)
		}
		return v
	}
	tests := map[string]struct {
		values []float64
		most   float64 // bytes a value
	}{
		"constant":        {series(func(int) float64 { return math.Pi }), 0.1},
		"two places":      {series(func(i int) float64 { return float64(60000+rng.IntN(60)) / 100 }), 1.1},
		"four places":     {series(func(i int) float64 { return float64(84000+rng.IntN(3000)) / 10000 }), 2.1},
		"seven places":    {series(func(i int) float64 { return float64(i) / 1e7 }), 1.1},
		"negative zeroes": {series(func(i int) float64 { return math.Copysign(float64(i%20)/1e4, -1) }), 1.6},
		"growing places":  {series(func(i int) float64 { return float64(i) / powers[i/50] }), 3.1},
		"single":          {series(func(i int) float64 { return float64(rng.Float32()) }), 4.1},
		"anything":        {series(func(i int) float64 { return rng.Float64() }), 8.1},
		"large":           {series(func(i int) float64 { return 1e15 + rng.Float64()*1e15 }), 8.1},
		"large and small": {append(series(func(i int) float64 { return 4e14 }), 0.0001), 8.1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := checkRoundTrip(t, double(tc.values...))
			n := len(tc.values)
			// A time costs one byte.
			if got := float64(len(b)-header-n) / float64(n); got > tc.most {
				t.Errorf("%.2f bytes a value, want at most %.2f", got, tc.most)
			}
		})
	}
}

var powers = []float64{1, 10, 100, 1000}

// TestRandomBits checks that every pattern of bits survives, also mixed with values
// that are stored in another way.
func TestRandomBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		r := &telemetry.Record{Unit: "u", Profile: mixed}
		at := int64(0)
		for range 1 + rng.IntN(60) {
			at += 1e6 + rng.Int64N(1e9)
			row := make([]telemetry.Value, 4)
			for i, s := range mixed.Signals {
				switch rng.IntN(6) {
				case 0:
				case 1:
					row[i] = telemetry.FromBits(s.Type, rng.Uint64())
				case 2:
					row[i] = telemetry.FromBits(s.Type, math.Float64bits(float64(rng.IntN(1000))/10))
				default:
					row[i] = telemetry.FromBits(s.Type, uint64(math.Float32bits(float32(rng.IntN(1000))/10)))
				}
			}
			r.Append(at, telemetry.Quality(rng.IntN(3)), row)
		}
		checkRoundTrip(t, r)
	}
}
