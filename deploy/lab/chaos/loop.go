package chaos

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// looped reports whether a loop device has the image still. The kernel takes it away a
// moment after the unmount, and a mount at that moment can get one that then fails.
func (d *disk) looped() bool {
	loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	return slices.ContainsFunc(loops, func(path string) bool {
		file, _ := os.ReadFile(path) // gone by now: good
		return strings.TrimSpace(string(file)) == d.image
	})
}
