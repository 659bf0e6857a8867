package process

import (
	"io"
	"os"
	"strings"
)

// Tail returns the last lines of a file, or "" when there are none. It reads at
// most the last 8 KiB.
func Tail(path string, lines int) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	from := max(0, end-8<<10)
	b := make([]byte, end-from)
	n, _ := f.ReadAt(b, from) // what could be read is good enough for a message
	all := strings.Split(strings.TrimRight(string(b[:n]), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
