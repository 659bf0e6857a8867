package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkFanIn measures what the broker's process takes for the traffic of a
// plant: many cells publish at QoS 0 at a fixed rate, one collector reads. An
// operation is one second of it; cpu-% is of one core, drops are messages that did
// not arrive.
func BenchmarkFanIn(b *testing.B) {
	for _, load := range []struct {
		name             string
		cells, rate, len int
	}{
		{"2000_x_300B", 100, 2000, 300},
		{"300_x_200KiB", 100, 300, 200 << 10},
		{"20000_x_300B", 100, 20000, 300},
	} {
		b.Run(load.name, func(b *testing.B) {
			address, pid := startBroker(b)
			reader := join(b, address, "collector")
			send(b, reader, 0x82, []byte{0, 1}, text("spBv1.0/#"), []byte{0})
			got := make(chan int64, 1)
			go countPublished(reader, got)
			cells := make([]net.Conn, load.cells)
			for i := range cells {
				cells[i] = join(b, address, fmt.Sprint("cell-", i))
			}
			message := frame(0x30, text("spBv1.0/line1/DDATA/cell-07/unit-0001"), make([]byte, load.len))
			sent, cpu := int64(0), cpuTime(b, pid)
			for b.Loop() {
				begin := time.Now()
				for i := range load.rate {
					if due := begin.Add(time.Duration(i) * time.Second / time.Duration(load.rate)); i%10 == 0 {
						time.Sleep(time.Until(due))
					}
					if _, err := cells[i%len(cells)].Write(message); err != nil {
						b.Fatal(err)
					}
					sent++
				}
				time.Sleep(time.Until(begin.Add(time.Second)))
			}
			used := cpuTime(b, pid) - cpu
			b.ReportMetric(used.Seconds()/b.Elapsed().Seconds()*100, "cpu-%")
			b.ReportMetric(float64(used.Microseconds())/float64(sent), "cpu-us/msg")
			b.ReportMetric(float64(sent-<-got), "drops")
		})
	}
}

// startBroker runs the broker in a process of its own.
func startBroker(b *testing.B) (address string, pid int) {
	b.Helper()
	config := filepath.Join(b.TempDir(), "broker.yaml")
	if err := os.WriteFile(config, []byte("listen: 127.0.0.1:0\nhttp: {listen: ''}\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	c := exec.Command(os.Args[0], "run", "--config", config)
	c.Env = append(os.Environ(), asProgram+"=1")
	stderr, err := c.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait() // killed
	})
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if m := regexp.MustCompile(`"mqtt listens" address=(\S+)`).FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, stderr) }()
			return m[1], c.Process.Pid
		}
	}
	b.Fatal("the broker does not start")
	return "", 0
}

// cpuTime is what a process has used so far, by proc_pid_stat(5): fields 14 and 15,
// in ticks of 10 ms.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatalf("the broker's CPU time is read from /proc: %v", err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// countPublished counts messages until 2 s of silence.
func countPublished(c net.Conn, got chan<- int64) {
	var n int64
	defer func() { got <- n }()
	r := bufio.NewReaderSize(c, 64<<10)
	for {
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		kind, err := r.ReadByte()
		if err != nil {
			return
		}
		length, err := binary.ReadUvarint(r)
		if err != nil {
			return
		}
		if _, err := r.Discard(int(length)); err != nil {
			return
		}
		if kind == 0x30 {
			n++
		}
	}
}

func join(b *testing.B, address, id string) net.Conn {
	b.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	send(b, c, 0x10, text("MQTT"), []byte{4, 2, 0, 60}, text(id))
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		b.Fatal(err)
	}
	return c
}

func send(b *testing.B, c net.Conn, kind byte, body ...[]byte) {
	b.Helper()
	if _, err := c.Write(frame(kind, body...)); err != nil {
		b.Fatal(err)
	}
}

func frame(kind byte, body ...[]byte) []byte {
	all := bytes.Join(body, nil)
	return append(binary.AppendUvarint([]byte{kind}, uint64(len(all))), all...)
}

func text(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }
