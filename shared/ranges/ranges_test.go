package ranges_test

import (
	"math"
	"strings"
	"testing"

	"andon.internal/shared/ranges"
)

func parse(t *testing.T, text string) ranges.Set {
	t.Helper()
	s, err := ranges.Parse(text, 100)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAdd(t *testing.T) {
	tests := []struct {
		name     string
		set      string
		from, to uint64
		want     string
		added    uint64
	}{
		{"to nothing", "", 3, 5, "[3,5)", 2},
		{"empty range", "[3,5)", 9, 9, "[3,5)", 0},
		{"backwards", "[3,5)", 9, 7, "[3,5)", 0},
		{"touching behind", "[3,5)", 5, 7, "[3,7)", 2},
		{"touching before", "[3,5)", 1, 3, "[1,5)", 2},
		{"apart behind", "[3,5)", 6, 7, "[3,5)[6,7)", 1},
		{"apart before", "[3,5)", 0, 2, "[0,2)[3,5)", 2},
		{"inside", "[3,9)", 4, 5, "[3,9)", 0},
		{"the same", "[3,9)", 3, 9, "[3,9)", 0},
		{"closing a hole", "[0,3)[5,9)", 3, 5, "[0,9)", 2},
		{"over several", "[1,2)[4,5)[7,8)", 0, 9, "[0,9)", 6},
		{"into the middle of several", "[1,2)[4,6)[8,9)", 5, 8, "[1,2)[4,9)", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := parse(t, tt.set)
			if added := s.Add(tt.from, tt.to); added != tt.added || s.String() != tt.want {
				t.Errorf("Add(%d, %d) = %d, set %v; want %d, %v", tt.from, tt.to, added, s, tt.added, tt.want)
			}
		})
	}
}

func TestRemove(t *testing.T) {
	tests := []struct {
		name     string
		set      string
		from, to uint64
		want     string
		removed  uint64
	}{
		{"from nothing", "", 3, 5, "", 0},
		{"backwards", "[3,9)", 5, 4, "[3,9)", 0},
		{"middle", "[3,9)", 4, 6, "[3,4)[6,9)", 2},
		{"front", "[3,9)", 0, 5, "[5,9)", 2},
		{"back", "[3,9)", 7, 20, "[3,7)", 2},
		{"whole", "[3,9)", 3, 9, "", 6},
		{"hole", "[0,3)[5,9)", 3, 5, "[0,3)[5,9)", 0},
		{"over several", "[1,3)[4,5)[7,9)", 2, 8, "[1,2)[8,9)", 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := parse(t, tt.set)
			if removed := s.Remove(tt.from, tt.to); removed != tt.removed || s.String() != tt.want {
				t.Errorf("Remove(%d, %d) = %d, set %v; want %d, %v", tt.from, tt.to, removed, s, tt.removed, tt.want)
			}
		})
	}
}

func TestSetOperations(t *testing.T) {
	a, b := parse(t, "[0,4)[6,8)[10,12)"), parse(t, "[2,7)[11,20)")
	if got := a.Intersect(b); got.String() != "[2,4)[6,7)[11,12)" {
		t.Errorf("Intersect = %v", got)
	}
	if got := b.Intersect(a); !got.Equal(a.Intersect(b)) {
		t.Errorf("Intersect depends on the order: %v", got)
	}
	if got := a.Holes(); got.String() != "[4,6)[8,10)" {
		t.Errorf("Holes = %v", got)
	}
	if got := b.Holes(); got.String() != "[0,2)[7,11)" {
		t.Errorf("Holes = %v", got)
	}
	union := a.Clone()
	if added := union.AddSet(b); union.String() != "[0,8)[10,20)" || added != 10 {
		t.Errorf("AddSet = %d, set %v", added, union)
	}
	if removed := union.RemoveSet(b); union.String() != "[0,2)[7,8)[10,11)" || removed != 14 {
		t.Errorf("RemoveSet = %d, set %v", removed, union)
	}
	if a.String() != "[0,4)[6,8)[10,12)" {
		t.Errorf("the original of a clone changed: %v", a)
	}
	if a.Len() != 8 || a.End() != 12 || a.Empty() || len(a.Ranges()) != 3 {
		t.Errorf("Len %d, End %d, Empty %v, ranges %v", a.Len(), a.End(), a.Empty(), a.Ranges())
	}
}

func TestSetWithItself(t *testing.T) {
	s := parse(t, "[0,1)[2,3)[4,5)")
	if added := s.AddSet(s); added != 0 || s.String() != "[0,1)[2,3)[4,5)" {
		t.Errorf("AddSet of itself = %d, set %v", added, s)
	}
	if removed := s.RemoveSet(s); removed != 3 || !s.Empty() {
		t.Errorf("RemoveSet of itself = %d, set %v", removed, s)
	}
}

func TestEmptySet(t *testing.T) {
	var s ranges.Set
	if !s.Empty() || s.Len() != 0 || s.End() != 0 || s.String() != "" || s.Contains(0) {
		t.Errorf("zero set: %v", s)
	}
	if _, ok := s.Next(0); ok {
		t.Error("Next found a range in the zero set")
	}
	if !s.Holes().Empty() || !s.Intersect(s).Empty() || !s.Equal(ranges.Of()) {
		t.Error("the zero set is not the empty set")
	}
}

func TestNextAndContains(t *testing.T) {
	s := parse(t, "[3,5)[7,9)")
	for _, tt := range []struct {
		at   uint64
		next string
		in   bool
	}{
		{0, "[3,5)", false},
		{3, "[3,5)", true},
		{4, "[3,5)", true},
		{5, "[7,9)", false},
		{8, "[7,9)", true},
		{9, "", false},
	} {
		r, ok := s.Next(tt.at)
		got := ranges.Of(r).String()
		if got != tt.next || ok != (tt.next != "") || s.Contains(tt.at) != tt.in {
			t.Errorf("at %d: Next %s, %v; Contains %v", tt.at, got, ok, s.Contains(tt.at))
		}
	}
}

func TestParse(t *testing.T) {
	tests := []struct {
		name, text, want string // an empty want is an error
	}{
		{"one", "[0,140)", "[0,140)"},
		{"in any order", "[150,160)[0,140)", "[0,140)[150,160)"},
		{"overlapping", "[0,5)[3,9)", "[0,9)"},
		{"highest position", "[0,9223372036854775807)", "[0,9223372036854775807)"},
		{"beyond the highest", "[0,9223372036854775808)", ""},
		{"overflow", "[0,18446744073709551616)", ""},
		{"empty range", "[5,5)", ""},
		{"backwards", "[5,4)", ""},
		{"negative", "[-1,4)", ""},
		{"sign", "[+1,4)", ""},
		{"space", "[1, 4)", ""},
		{"closed", "[1,4]", ""},
		{"no bracket", "1,4)", ""},
		{"cut off", "[1,4", ""},
		{"one number", "[1)", ""},
		{"three numbers", "[1,2,3)", ""},
		{"comma between", "[1,2),[3,4)", ""},
		{"only the end", ")", ""},
		{"too many", strings.Repeat("[1,2)", 101), ""},
		{"garbage", strings.Repeat("x", 200), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ranges.Parse(tt.text, 100)
			if (err == nil) != (tt.want != "") || got.String() != tt.want {
				t.Errorf("Parse = %v, %v; want %q", got, err, tt.want)
			}
			if err != nil && len(err.Error()) > 200 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
	if s, err := ranges.Parse("", 0); err != nil || !s.Empty() {
		t.Errorf("Parse of nothing = %v, %v", s, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "[0,140)[150,160)", "[3,9)[0,5)", "[0,9223372036854775807)", "[1,2", ")("} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ranges.Parse(text, 50)
		if err != nil {
			return
		}
		if s.End() > ranges.MaxPosition+1 || len(s.Ranges()) > 50 {
			t.Fatalf("Parse(%q) = %v, beyond its bounds", text, s)
		}
		checkShape(t, s)
		again, err := ranges.Parse(s.String(), 50)
		if err != nil || !again.Equal(s) {
			t.Errorf("Parse(%q) = %v, %v", s.String(), again, err)
		}
	})
}

// checkShape fails when a set is not sorted, non-empty, non-touching ranges.
func checkShape(t *testing.T, s ranges.Set) {
	t.Helper()
	for i, r := range s.Ranges() {
		if r.From >= r.To || i > 0 && r.From <= s.Ranges()[i-1].To {
			t.Fatalf("set %v is out of shape at range %d", s, i)
		}
	}
}

// FuzzSet runs a program of operations on a Set and on a plain bitmap, and
// compares them after every step.
func FuzzSet(f *testing.F) {
	f.Add([]byte{0, 3, 5, 1, 4, 9, 0, 0, 60})
	f.Add([]byte{0, 1, 2, 0, 5, 6, 0, 3, 4, 2, 2, 30, 3, 1, 1})
	f.Fuzz(func(t *testing.T, program []byte) {
		const size = 64
		var s, other ranges.Set
		var bits, otherBits [size]bool
		count := func(from, to byte, want bool) (n uint64) {
			for p := from; p < to; p++ {
				if bits[p] == want {
					n++
				}
			}
			return n
		}
		for ; len(program) >= 3; program = program[3:] {
			from, to := program[1]%size, program[2]%size
			switch program[0] % 4 {
			case 0:
				if want, got := count(from, to, false), s.Add(uint64(from), uint64(to)); got != want {
					t.Fatalf("Add(%d, %d) = %d, want %d", from, to, got, want)
				}
				for p := from; p < to; p++ {
					bits[p] = true
				}
			case 1:
				if want, got := count(from, to, true), s.Remove(uint64(from), uint64(to)); got != want {
					t.Fatalf("Remove(%d, %d) = %d, want %d", from, to, got, want)
				}
				for p := from; p < to; p++ {
					bits[p] = false
				}
			case 2:
				other, otherBits = s.Clone(), bits
			case 3:
				s = s.Intersect(other)
				for p := range bits {
					bits[p] = bits[p] && otherBits[p]
				}
			}
			checkShape(t, s)
			for p := range bits {
				if s.Contains(uint64(p)) != bits[p] || other.Contains(uint64(p)) != otherBits[p] {
					t.Fatalf("position %d: set %v, clone %v", p, s, other)
				}
			}
			if holes := s.Holes(); holes.Len()+s.Len() != s.End() || !holes.Intersect(s).Empty() {
				t.Fatalf("set %v has holes %v", s, holes)
			}
		}
	})
}

func TestAddAtTheTop(t *testing.T) {
	var s ranges.Set
	if n := s.Add(math.MaxUint64-2, math.MaxUint64); n != 2 || s.End() != math.MaxUint64 {
		t.Errorf("Add = %d, set %v", n, s)
	}
	if n := s.Remove(math.MaxUint64-1, math.MaxUint64); n != 1 {
		t.Errorf("Remove = %d, set %v", n, s)
	}
}

func BenchmarkAddInOrder(b *testing.B) {
	var s ranges.Set
	p := uint64(0)
	for b.Loop() {
		s.Add(p, p+1)
		p++
	}
}
