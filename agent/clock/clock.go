// Package clock reads the machine's clocks: the wall clock, which may be wrong or
// set at any moment, and CLOCK_BOOTTIME, which only ever runs on, also in suspend.
//
// Both are stamped on what the agent records and sends, so that the collector can
// date a reading even when the cell's wall clock was wrong. See telemetry.Clock.
package clock

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Time is both clocks, read at one moment.
type Time struct {
	Wall int64 // unix ns
	Boot int64 // ns since boot (CLOCK_BOOTTIME); 0 where the machine has no such clock
}

// Offset returns wall time minus boot time in ns: the anchor between the two. It
// changes only when the wall clock is set; slewing moves both.
func (t Time) Offset() int64 {
	if t.Boot == 0 {
		return 0
	}
	return t.Wall - t.Boot
}

// Now reads both clocks. Safe for concurrent use.
func Now() Time {
	var ts unix.Timespec
	wall := set(time.Now().UnixNano())
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return Time{Wall: wall}
	}
	return Time{Wall: wall, Boot: ts.Nano()}
}

// bootIDFile is where Linux keeps the random id of this boot.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// BootID returns the random id that the kernel gave this boot.
func BootID() ([16]byte, error) {
	text, err := os.ReadFile(bootIDFile)
	if err != nil {
		return [16]byte{}, fmt.Errorf("read boot id: %w", err)
	}
	var id [16]byte
	raw, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(text)), "-", ""))
	if err != nil || len(raw) != len(id) {
		return id, fmt.Errorf("boot id in %s is not a UUID", bootIDFile)
	}
	copy(id[:], raw)
	return id, nil
}
