package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"andon.internal/agent/buffer"
)

// Wear is what the disk is made to write for records that nobody acknowledges: all of them
// are stored, and nothing is deleted.
type Wear struct {
	Write       string `json:"write"` // behind or ahead, as buffer.write
	RecordBytes int    `json:"record_bytes"`
	Records     int    `json:"records"`      // that come together, and so go into one transaction
	Stored      int64  `json:"stored_bytes"` // in the form in which they lie on disk

	// What was written for that: by the buffer's own count of its pages; by this process, as
	// the kernel counts the pages that it changed, some file systems' own with them; by the
	// block device, whatever others wrote there with it, 0 where the system does not count it.
	Pages   int64 `json:"page_bytes"`
	Process int64 `json:"process_bytes"`
	Device  int64 `json:"device_bytes"`

	// Device / Stored, or Process / Stored where the device is not counted.
	Amplification float64 `json:"amplification"`
}

// Met reports whether the amplification is within its target.
func (w *Wear) Met() bool { return w.Amplification <= AmplificationTarget }

func wears(ctx context.Context, dir string, short bool) ([]Wear, error) {
	const size = 20_000
	total := 160 << 20 // two files and more
	if short {
		total = 2 << 20
	}
	var out []Wear
	for _, write := range []string{"behind", "ahead"} {
		for _, n := range []int{1, 2, 20, 200} {
			w := Wear{Write: write, RecordBytes: size, Records: n}
			if err := w.measure(ctx, dir, total); err != nil {
				return nil, err
			}
			out = append(out, w)
		}
	}
	return out, nil
}

func (w *Wear) measure(ctx context.Context, dir string, total int) error {
	b, err := openBuffer(dir, "buffer", buffer.Options{WriteAhead: w.Write == "ahead", Linger: 2 * time.Millisecond})
	if err != nil {
		return err
	}
	before, err := countersOf(dir)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	chain := b.Written().Device
	items := batchOf(w.Records, w.RecordBytes)
	for given := 0; given < total && err == nil; given += w.Records * w.RecordBytes {
		if _, err = b.Append(items, nil); err == nil {
			err = awaitDisk(ctx, b)
		}
	}
	after, cerr := countersOf(dir)
	w.Stored, w.Pages = b.Written().Stored, b.Written().Device-chain
	w.Process = after.process - before.process
	w.Amplification = float64(w.Process) / float64(w.Stored)
	if before.counted && after.counted {
		w.Device = after.device - before.device
		w.Amplification = float64(w.Device) / float64(w.Stored)
	}
	return errors.Join(err, cerr, b.Close(), discard(dir, "buffer"))
}

// counters are the kernel's, in bytes.
type counters struct {
	process int64 // that this process had written
	device  int64 // that the block device below a folder wrote
	counted bool  // device is known
}

// countersOf reads them once the disk has all that was written.
func countersOf(dir string) (c counters, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return c, err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return c, err
	}
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return c, fmt.Errorf("the kernel counts what a process writes in /proc/self/io: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "write_bytes: "); ok {
			if c.process, err = strconv.ParseInt(v, 10, 64); err != nil {
				return c, err
			}
		}
	}
	c.device, c.counted = deviceBytes(dir)
	return c, nil
}

// deviceBytes returns what the block device of a folder has written, where the kernel
// counts it: in sectors of 512 bytes (Documentation/block/stat.rst, field 7).
func deviceBytes(dir string) (int64, bool) {
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return 0, false
	}
	major, minor := st.Dev>>8&0xfff|st.Dev>>32&^0xfff, st.Dev&0xff|st.Dev>>12&^0xff
	b, err := os.ReadFile(filepath.Join("/sys/dev/block", fmt.Sprintf("%d:%d", major, minor), "stat"))
	if err != nil {
		return 0, false
	}
	f := strings.Fields(string(b))
	if len(f) < 7 {
		return 0, false
	}
	sectors, err := strconv.ParseInt(f[6], 10, 64)
	return sectors * 512, err == nil
}
