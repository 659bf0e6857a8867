package telemetry_test

import (
	"bytes"
	"math/big"
	"strings"
	"testing"

	"andon.internal/shared/telemetry"
)

func TestEpochText(t *testing.T) {
	all := telemetry.Epoch(bytes.Repeat([]byte{0xff}, 16))
	tests := []struct {
		name  string
		epoch telemetry.Epoch
		text  string
	}{
		{"zero", telemetry.Epoch{}, "00000000000000000000000000"},
		{"highest", all, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"},
		{"lowest bit", telemetry.Epoch{15: 1}, "00000000000000000000000001"},
		{"highest bit", telemetry.Epoch{0: 0x80}, "40000000000000000000000000"},
		{"all bits differ", telemetry.Epoch{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10}, "014D2PF2DBSQQZXQ5TK1V58CGG"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.epoch.String(); got != tt.text {
				t.Errorf("String() = %q, want %q", got, tt.text)
			}
			got, err := telemetry.ParseEpoch(tt.text)
			if err != nil || got != tt.epoch {
				t.Errorf("ParseEpoch(%q) = %v, %v", tt.text, got, err)
			}
		})
	}
	if got := all.Short(); got != "ZZZZZZ" {
		t.Errorf("Short() = %q, want the last 6 characters", got)
	}
}

func TestParseEpochRefuses(t *testing.T) {
	tests := []struct{ name, text string }{
		{"empty", ""},
		{"too short", strings.Repeat("0", 25)},
		{"too long", strings.Repeat("0", 27)},
		{"beyond 128 bits", "8" + strings.Repeat("0", 25)},
		{"lower case", "01aryz6s41tsv4rrffq69g5fav"},
		{"letter outside the alphabet", "01ARYZ6S41TSV4RRFFQ69G5FAU"},
		{"line feed, which base32 passes over", "01ARYZ6S41TSV4RRFFQ69G5FA\n"},
		{"line feed at the start", "\n1ARYZ6S41TSV4RRFFQ69G5FAV"},
		{"not ASCII", strings.Repeat("ä", 13)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if e, err := telemetry.ParseEpoch(tt.text); err == nil {
				t.Errorf("ParseEpoch(%q) = %v, want an error", tt.text, e)
			}
		})
	}
}

func FuzzParseEpoch(f *testing.F) {
	f.Add("01ARYZ6S41TSV4RRFFQ69G5FAV")
	f.Add("7ZZZZZZZZZZZZZZZZZZZZZZZZZ")
	f.Add("01ARYZ6S41TSV4RRFFQ69G5FA\n")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := telemetry.ParseEpoch(text)
		if err == nil && e.String() != text {
			t.Errorf("ParseEpoch(%q) = %v, whose text is another", text, e)
		}
	})
}

func FuzzEpochRoundTrip(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0xff}, 16))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e telemetry.Epoch
		copy(e[:], b)
		if want := ulidText(e); e.String() != want {
			t.Errorf("String() of %x = %q, want %q", e[:], e.String(), want)
		}
		got, err := telemetry.ParseEpoch(e.String())
		if err != nil || got != e {
			t.Errorf("ParseEpoch(%q) = %v, %v", e.String(), got, err)
		}
	})
}

// ulidText is the text of the ULID specification, worked out as one large number.
func ulidText(e telemetry.Epoch) string {
	n, digit := new(big.Int).SetBytes(e[:]), new(big.Int)
	var text [26]byte
	for i := range text {
		n.DivMod(n, big.NewInt(32), digit)
		text[25-i] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[digit.Int64()]
	}
	return string(text[:])
}

func TestEpochSortsLikeItsText(t *testing.T) {
	low, high := telemetry.Epoch{0: 1, 15: 0xff}, telemetry.Epoch{0: 1, 1: 1}
	if bytes.Compare(low[:], high[:]) >= 0 || low.String() >= high.String() {
		t.Errorf("%v does not sort before %v", low, high)
	}
}
