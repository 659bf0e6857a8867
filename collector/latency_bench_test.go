package collector_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"andon.internal/collector"
	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/ranges"
)

// BenchmarkLatency sends 2,000 records of one reading a second, from 200 units on 10
// nodes at 10 Hz, with broker, nodes, collector and PostgreSQL on this machine, and
// reports the time from sending a record to hearing that it is committed. Run it
// with -benchtime=1x.
func BenchmarkLatency(b *testing.B) {
	for _, flush := range []time.Duration{time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond} {
		b.Run(flush.String(), func(b *testing.B) {
			for b.Loop() {
				latency(b, flush, 10, 20, 10*time.Second)
			}
		})
	}
}

func latency(b *testing.B, flush time.Duration, nodes, units int, span time.Duration) {
	broker, dsn := edgetest.StartBroker(b), newDatabase(b)
	r := start(b, broker, dsn, func(c *collector.Config) { c.Intake.Flush = flush })
	r.waitReady()
	clients := make([]*edgetest.Client, nodes)
	for i := range clients {
		n := newNode(fmt.Sprint("cell-", i))
		clients[i] = edgetest.Dial(b, broker.URL(), n)
		clients[i].Send(n.Birth())
		for u := range units {
			clients[i].Send(n.UnitBirth(fmt.Sprint("u", i, "-", u), born, false))
		}
		clients[i].WaitSync()
	}
	const period = 100 * time.Millisecond
	took := make([][]time.Duration, nodes)
	var before syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	pgBefore := postgresCPU(b)
	began := time.Now()
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() { took[i] = stream(c, i, units, period, span) })
	}
	all.Wait()
	wall := time.Since(began).Seconds()
	var after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)

	list := slices.Concat(took...)
	slices.Sort(list)
	ms := func(q float64) float64 { return float64(list[int(q*float64(len(list)-1))].Microseconds()) / 1000 }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(0.5), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
	b.ReportMetric(ms(1), "max-ms")
	b.ReportMetric(float64(len(list))/wall, "records/s")
	b.ReportMetric((cpu(after)-cpu(before))/wall, "own-cores")
	b.ReportMetric((postgresCPU(b)-pgBefore)/wall, "postgres-cores")
	sum, _ := strconv.ParseFloat(r.metric("andon_intake_batch_entries_sum"), 64)
	count, _ := strconv.ParseFloat(r.metric("andon_intake_batch_entries_count"), 64)
	b.ReportMetric(sum/count, "records/commit")
	settle, _ := strconv.ParseFloat(r.metric("andon_intake_settle_seconds_sum"), 64)
	b.ReportMetric(settle/sum*1000, "mean-settle-ms")
}

// stream sends a reading of every unit each period, spread over it, and returns how
// long each took to be acknowledged.
func stream(c *edgetest.Client, i, units int, period, span time.Duration) []time.Duration {
	var mu sync.Mutex
	sent := map[uint64]time.Time{}
	var took []time.Duration
	done := make(chan struct{})
	go func() {
		defer close(done)
		var seen ranges.Set
		c.Each(func(acked ranges.Set) bool {
			now := time.Now()
			mu.Lock()
			defer mu.Unlock()
			fresh := acked.Clone()
			fresh.RemoveSet(seen)
			for _, x := range fresh.Ranges() {
				for p := x.From; p < x.To; p++ {
					took = append(took, now.Sub(sent[p]))
				}
			}
			seen = acked
			return seen.Len() < uint64(units)*uint64(span/period)
		})
	}()
	start := time.Now()
	for k := range int(span / period) {
		for u := range units {
			at := start.Add(time.Duration(k)*period + time.Duration(u)*period/time.Duration(units) + time.Duration(i)*time.Millisecond/2)
			time.Sleep(time.Until(at))
			m := c.Node.Data(c.Node.Reading(fmt.Sprint("u", i, "-", u), born, time.Now().UnixNano(), uint64(k), 1))
			mu.Lock()
			sent[c.Node.Next-1] = time.Now()
			mu.Unlock()
			c.Send(m)
		}
	}
	<-done
	return took
}

func cpu(u syscall.Rusage) float64 {
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// postgresCPU is the CPU seconds of the server's processes, ended ones included.
func postgresCPU(b *testing.B) float64 {
	var ticks float64
	list, err := os.ReadDir("/proc")
	if err != nil {
		b.Fatalf("PostgreSQL's CPU time is read from /proc: %v", err)
	}
	for _, e := range list {
		data, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(data), ") ")
		f := strings.Fields(rest)
		pid, _ := strconv.Atoi(e.Name())
		if len(f) < 15 || (f[1] != fmt.Sprint(server.PID()) && pid != server.PID()) {
			continue
		}
		times := f[11:13]
		if pid == server.PID() {
			times = f[11:15] // and of its children that have ended
		}
		for _, t := range times {
			n, _ := strconv.ParseFloat(t, 64)
			ticks += n
		}
	}
	return ticks / 100
}
