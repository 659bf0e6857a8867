// Package procfs reads what Linux says of its processes.
package procfs

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// Children returns the processes whose parent is pid, as they are now; none where there is
// no /proc.
func Children(pid int) []int {
	var out []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		// "PID (name) state PPID ...": the name may hold spaces and parentheses.
		rest := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		if len(rest) < 2 || string(rest[1]) != strconv.Itoa(pid) {
			continue
		}
		if child, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			out = append(out, child)
		}
	}
	return out
}
