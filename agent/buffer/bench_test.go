package buffer_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

// turbofan makes n records of rows readings of 24 doubles each, column by column, as
// the sampler hands them over: a third of the signals constant, the rest noise about
// a slow drift, all with the two to four decimals of a real sensor.
func turbofan(n, rows int) []buffer.Item {
	rng := rand.New(rand.NewPCG(1, 2))
	items := make([]buffer.Item, n)
	for i := range items {
		var data []byte
		for r := range rows {
			data = binary.LittleEndian.AppendUint64(data, uint64(1.7e18)+uint64(i*rows+r)*1e9)
		}
		for signal := range 24 {
			base := 10 * math.Pow(1.4, float64(signal))
			scale := math.Pow(10, float64(2+signal%3))
			for range rows {
				v := base
				if signal%3 != 0 {
					v += rng.NormFloat64() * base / 1000
				}
				v = math.Round(v*scale) / scale
				data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
			}
		}
		items[i] = buffer.Item{Data: data, Label: "engine-1", Rows: rows, First: 1, Last: 2}
	}
	return items
}

// usage returns the CPU time of this process and the bytes it had written to disk.
func usage(tb testing.TB) (cpu time.Duration, written int64) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	io, err := os.ReadFile("/proc/self/io")
	if err != nil {
		tb.Fatalf("bytes written are counted by /proc/self/io: %v", err)
	}
	for line := range strings.Lines(string(io)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "write_bytes: "); ok {
			written, _ = strconv.ParseInt(v, 10, 64)
		}
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), written
}

func openBench(b *testing.B, o buffer.Options) *buffer.Buffer {
	b.Helper()
	o.Dir = b.TempDir()
	buf, err := buffer.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { buf.Close() })
	return buf
}

// appendAll appends with a cursor, waiting where it must.
func appendAll(b *testing.B, buf *buffer.Buffer, item buffer.Item) {
	for {
		_, err := buf.Append([]buffer.Item{item}, &buffer.Cursor{Name: "replay", Data: []byte("12345678")})
		if err == nil {
			return
		}
		if !errors.Is(err, buffer.ErrFull) {
			b.Fatal(err)
		}
		if err := buf.WaitSpace(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAhead is a source as fast as can be: every record is on disk before it is
// given out; a reader takes and acknowledges it.
func BenchmarkAhead(b *testing.B) {
	for _, rows := range []int{100, 250} {
		b.Run(strconv.Itoa(rows)+"rows", func(b *testing.B) {
			items := turbofan(64, rows)
			buf := openBench(b, buffer.Options{})
			done := make(chan uint64)
			stop := make(chan struct{})
			go drain(b, buf, stop, done)
			cpu, written := usage(b)
			n := 0
			for b.Loop() {
				appendAll(b, buf, items[n%len(items)])
				n++
			}
			close(stop)
			read := <-done
			b.StopTimer()
			cpu2, written2 := usage(b)
			if read != uint64(n) {
				b.Fatalf("read %d of %d records", read, n)
			}
			total := float64(n * rows)
			b.ReportMetric(total/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric((cpu2-cpu).Seconds()/total*1e6, "cpu-s/Mrow")
			b.ReportMetric(float64(written2-written)/total, "disk-B/row")
		})
	}
}

// drain reads and acknowledges until stop is closed and nothing is left.
func drain(b *testing.B, buf *buffer.Buffer, stop chan struct{}, done chan uint64) {
	var after *buffer.Key
	var n uint64
	var s ranges.Set
	last := false
	for {
		r, ok, err := buf.Next(buffer.Backlog, after)
		if err != nil {
			b.Error(err)
			break
		}
		if ok {
			after = &r.Key
			n++
			if s.Add(r.Position, r.Position+1); s.Len() >= 64 {
				_ = buf.Ack(r.Epoch, s)
				s = ranges.Set{}
			}
			continue
		}
		if last && buf.Stats().Unwritten == 0 {
			break
		}
		select {
		case <-buf.Changed():
		case <-stop:
			last = true
			time.Sleep(time.Millisecond)
		}
	}
	done <- n
}

// BenchmarkBehindLinkDown is records that nobody acknowledges: all are written, with
// what came in one linger. amplification is bytes to the block device per byte stored.
func BenchmarkBehindLinkDown(b *testing.B) {
	for _, size := range []int{2_000, 20_000} {
		for _, perLinger := range []int{1, 10, 100} {
			b.Run(strconv.Itoa(size)+"B/"+strconv.Itoa(perLinger), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 2))
				data := make([]byte, size) // does not compress
				for i := range data {
					data[i] = byte(rng.Uint32())
				}
				buf := openBench(b, buffer.Options{Linger: 2 * time.Millisecond, MaxDisk: 8 << 30, RotateBytes: 64 << 20})
				_, written := usage(b)
				n := 0
				for b.Loop() {
					for range perLinger {
						if _, err := buf.Append([]buffer.Item{{Data: data, Rows: 1}}, nil); err != nil {
							b.Fatal(err)
						}
						n++
					}
					for buf.Stats().Unwritten > 0 {
						time.Sleep(200 * time.Microsecond)
					}
				}
				b.StopTimer()
				_, written2 := usage(b)
				b.ReportMetric(float64(written2-written)/float64(n*size), "amplification")
				b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}

// BenchmarkNext reads a backlog from disk.
func BenchmarkNext(b *testing.B) {
	const rows = 200
	items := turbofan(64, rows)
	buf := openBench(b, buffer.Options{MaxMemory: 1 << 20})
	for i := range 2000 {
		appendAll(b, buf, items[i%64])
	}
	for buf.Stats().Unwritten > 0 {
		time.Sleep(time.Millisecond)
	}
	var after *buffer.Key
	n := 0
	for b.Loop() {
		s, ok, err := buf.Next(buffer.Backlog, after)
		if err != nil {
			b.Fatal(err)
		}
		if after = nil; ok {
			after = &s.Key
			n++
		}
	}
	b.ReportMetric(float64(n*rows)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkOpen opens a buffer that holds 50,000 small records.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	buf, err := buffer.Open(buffer.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	for range 50 {
		batch := make([]buffer.Item, 1000)
		for i := range batch {
			batch[i] = buffer.Item{Data: make([]byte, 200), Rows: 1}
		}
		if _, err := buf.Append(batch, nil); err != nil {
			b.Fatal(err)
		}
		for buf.Stats().Unwritten > 0 {
			time.Sleep(time.Millisecond)
		}
	}
	if err := buf.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		buf, err := buffer.Open(buffer.Options{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if n := buf.Stats().Records; n != 50_000 {
			b.Fatalf("%d records", n)
		}
		buf.Close()
		b.StartTimer()
	}
}
