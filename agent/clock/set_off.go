//go:build !andon_broken

package clock

// set returns the wall clock: only the lab's build can set it.
func set(wall int64) int64 { return wall }
