package checker_test

import (
	"math"
	"testing"

	"andon.internal/lab/checker"
	"andon.internal/shared/telemetry"
)

func value(f float64) []telemetry.Value { return []telemetry.Value{telemetry.DoubleValue(f)} }

func row(epoch byte, position uint64, n int, time int64, f float64) checker.Stored {
	return checker.Stored{
		Reading: checker.Reading{Time: time, Values: value(f)},
		Epoch:   telemetry.Epoch{0: epoch}, Position: position, Row: n,
	}
}

func TestCompare(t *testing.T) {
	declared := []checker.Reading{{Time: 10, Values: value(1)}, {Time: 20, Values: value(2)}, {Time: 30, Values: value(3)}}
	whole := []checker.Stored{row(1, 0, 0, 10, 1), row(1, 0, 1, 20, 2), row(2, 0, 0, 30, 3)}
	with := func(s ...checker.Stored) []checker.Stored { return append(append([]checker.Stored{}, whole...), s...) }
	zero := []checker.Reading{{Time: 10, Values: value(0)}}
	twins := []checker.Reading{{Time: 10, Values: value(1)}, {Time: 10, Values: value(2)}}
	for _, c := range []struct {
		name     string
		declared []checker.Reading
		stored   []checker.Stored
		want     checker.Tally
	}{
		{"all there, in any order", declared, []checker.Stored{whole[2], whole[0], whole[1]}, checker.Tally{Declared: 3, Stored: 3}},
		{"one missing", declared, whole[1:], checker.Tally{Declared: 3, Stored: 2, Missing: 1}},
		{"all missing", declared, nil, checker.Tally{Declared: 3, Missing: 3}},
		{"one doubled", declared, with(row(2, 1, 0, 30, 3)), checker.Tally{Declared: 3, Stored: 4, Doubled: 1}},
		{"doubled with another value", declared, with(row(2, 1, 0, 30, 9)), checker.Tally{Declared: 3, Stored: 4, Doubled: 1}},
		{"one different", declared, []checker.Stored{whole[0], row(1, 0, 1, 20, 2.5), whole[2]}, checker.Tally{Declared: 3, Stored: 3, Different: 1}},
		{"one bit different", declared, []checker.Stored{row(1, 0, 0, 10, math.Nextafter(1, 2)), whole[1], whole[2]}, checker.Tally{Declared: 3, Stored: 3, Different: 1}},
		{"the other zero", zero, []checker.Stored{row(1, 0, 0, 10, math.Copysign(0, -1))}, checker.Tally{Declared: 1, Stored: 1, Different: 1}},
		{"never declared", declared, with(row(2, 1, 0, 40, 4)), checker.Tally{Declared: 3, Stored: 4, Unexpected: 1}},
		{"a unit never declared", nil, whole[:1], checker.Tally{Stored: 1, Unexpected: 1}},
		{"out of order", declared, []checker.Stored{row(1, 0, 0, 20, 2), row(1, 0, 1, 10, 1), whole[2]}, checker.Tally{Declared: 3, Stored: 3, Disordered: 1}},
		{"out of order over epochs", declared, []checker.Stored{row(3, 0, 0, 10, 1), row(1, 0, 1, 20, 2), row(1, 0, 2, 30, 3)}, checker.Tally{Declared: 3, Stored: 3, Disordered: 1}},
		{"two of one time", twins, []checker.Stored{row(1, 0, 0, 10, 1), row(1, 1, 0, 10, 2)}, checker.Tally{Declared: 2, Stored: 2}},
		{"two of one time, turned", twins, []checker.Stored{row(1, 0, 0, 10, 2), row(1, 1, 0, 10, 1)}, checker.Tally{Declared: 2, Stored: 2, Disordered: 1}},
		{"two of one time, one gone", twins, []checker.Stored{row(1, 1, 0, 10, 2)}, checker.Tally{Declared: 2, Stored: 1, Missing: 1}},
		{"two of one time, one twice", twins, []checker.Stored{row(1, 0, 0, 10, 1), row(1, 1, 0, 10, 2), row(1, 2, 0, 10, 2)}, checker.Tally{Declared: 2, Stored: 3, Doubled: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got checker.Tally
			got.Compare("engine-1", c.declared, c.stored)
			if got.OK() != (len(got.Examples) == 0) {
				t.Errorf("ok %v with examples %v", got.OK(), got.Examples)
			}
			examples := got.Examples
			got.Examples = nil
			if got.Declared != c.want.Declared || got.Stored != c.want.Stored || got.Missing != c.want.Missing ||
				got.Doubled != c.want.Doubled || got.Different != c.want.Different ||
				got.Unexpected != c.want.Unexpected || got.Disordered != c.want.Disordered {
				t.Errorf("got %+v\nwant %+v\nexamples %v", got, c.want, examples)
			}
		})
	}
}

func TestExamplesAreBounded(t *testing.T) {
	declared := make([]checker.Reading, 1000)
	for i := range declared {
		declared[i] = checker.Reading{Time: int64(i), Values: value(1)}
	}
	var got checker.Tally
	got.Compare("engine-1", declared, nil)
	if got.Missing != 1000 || len(got.Examples) > 20 {
		t.Errorf("missing %d, examples %d", got.Missing, len(got.Examples))
	}
}
