package telemetry_test

import (
	"fmt"
	"testing"

	"andon.internal/shared/telemetry"
)

func TestPool(t *testing.T) {
	var pool telemetry.Pool
	share := func(p *telemetry.Profile) *telemetry.Profile { return pool.Share(p.Fingerprint(), p) }
	first := press()
	if share(first) != first || share(press()) != first {
		t.Error("equal profiles are not shared")
	}
	changed := press()
	changed.Signals[0].Unit = "kN"
	if share(changed) != changed || share(press()) == changed {
		t.Error("a profile with another text is taken for the one before")
	}
	forged := press()
	forged.Signals[0].Name = "torque"
	if pool.Share(first.Fingerprint(), forged) != forged {
		t.Error("a forged fingerprint names another profile")
	}
	kept := press()
	pool = telemetry.Pool{}
	share(kept)
	for i := range 300 {
		p := press()
		p.Name = fmt.Sprint("press", i)
		share(p)
	}
	if again := press(); share(again) != again {
		t.Error("more is remembered than the bound")
	}
}
