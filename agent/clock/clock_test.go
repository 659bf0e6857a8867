package clock_test

import (
	"testing"
	"time"

	"andon.internal/agent/clock"
)

func TestNow(t *testing.T) {
	a := clock.Now()
	b := clock.Now()
	if a.Boot <= 0 || b.Boot < a.Boot {
		t.Errorf("boot time %d, then %d", a.Boot, b.Boot)
	}
	if off := time.Since(time.Unix(0, a.Wall)); off < 0 || off > time.Minute {
		t.Errorf("wall time is off by %v", off)
	}
	if d := b.Offset() - a.Offset(); d < -int64(time.Second) || d > int64(time.Second) {
		t.Errorf("the offset moved by %d ns", d)
	}
}

func TestOffset(t *testing.T) {
	for _, tc := range []struct {
		t    clock.Time
		want int64
	}{
		{clock.Time{Wall: 100, Boot: 30}, 70},
		{clock.Time{Wall: 10, Boot: 30}, -20},
		{clock.Time{Wall: 100}, 0}, // no boot time: no anchor
	} {
		if got := tc.t.Offset(); got != tc.want {
			t.Errorf("%+v: offset %d, want %d", tc.t, got, tc.want)
		}
	}
}

func TestBootID(t *testing.T) {
	a, err := clock.BootID()
	if err != nil {
		t.Fatal(err)
	}
	b, _ := clock.BootID()
	if a != b || a == [16]byte{} {
		t.Errorf("boot id %x, then %x", a, b)
	}
}
