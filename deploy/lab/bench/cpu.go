package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// ticks is how many of /proc's units of CPU time make a second (USER_HZ).
const ticks = 100

// cpuSeconds returns the CPU time that a process has used, user and system, with
// that of its children: those that have ended and were waited for, and those that
// run. So it does not go back when a child ends.
func cpuSeconds(pid int) (float64, error) {
	own, err := stat(pid)
	if err != nil {
		return 0, err
	}
	sum := own.Own + own.Ended
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range paths {
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || child == pid {
			continue
		}
		if s, err := stat(child); err == nil && s.Parent == pid { // else it ended meanwhile
			sum += s.Own + s.Ended
		}
	}
	return float64(sum) / ticks, nil
}

// usage is what /proc/PID/stat says, in ticks.
type usage struct {
	Parent     int
	Own, Ended int64 // its own time; that of children that have ended
}

func stat(pid int) (usage, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, fmt.Errorf("read cpu time: %w", err)
	}
	return parseStat(b)
}

// parseStat reads "PID (name) state parent ..."; the name may hold anything.
func parseStat(b []byte) (usage, error) {
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	// proc(5) counts from 1 with the PID: parent is field 4, utime 14, stime 15,
	// cutime 16, cstime 17; fields[0] is field 3.
	if len(fields) < 15 {
		return usage{}, fmt.Errorf("read cpu time: %d fields in stat", len(fields))
	}
	var n [5]int64
	for i, field := range []int{4, 14, 15, 16, 17} {
		v, err := strconv.ParseInt(string(fields[field-3]), 10, 64)
		if err != nil {
			return usage{}, fmt.Errorf("read cpu time: %w", err)
		}
		n[i] = v
	}
	return usage{Parent: int(n[0]), Own: n[1] + n[2], Ended: n[3] + n[4]}, nil
}
