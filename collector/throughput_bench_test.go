package collector_test

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/profiles"
)

// BenchmarkThroughput sends records of 400 readings with 24 signals as fast as they
// are acknowledged, 16 in flight a node, and reports readings a second and the CPU
// seconds per million of them: of broker, nodes and collector together, and of
// PostgreSQL. Run it with -benchtime=1x.
func BenchmarkThroughput(b *testing.B) {
	for _, nodes := range []int{1, 4} {
		b.Run(fmt.Sprint(nodes, "nodes"), func(b *testing.B) {
			for b.Loop() {
				throughput(b, nodes, 400_000/nodes)
			}
		})
	}
}

func throughput(b *testing.B, nodes, readings int) {
	const rows, window = 400, 16
	broker, dsn := edgetest.StartBroker(b), newDatabase(b)
	r := start(b, broker, dsn)
	r.waitReady()
	clients := make([]*edgetest.Client, nodes)
	messages := make([][]edgetest.Message, nodes)
	for i := range clients {
		n := newNode(fmt.Sprint("cell-", i))
		n.Profile = profiles.Find(profiles.Builtin(), "turbofan")
		name := fmt.Sprint("engine-", i)
		clients[i] = edgetest.Dial(b, broker.URL(), n)
		clients[i].Send(n.Birth(), n.UnitBirth(name, born, false))
		clients[i].WaitSync()
		for p := range readings / rows {
			messages[i] = append(messages[i], n.Data(n.Reading(name, born, born+int64(p)*rows*1e6, uint64(p)*rows, rows)))
		}
	}
	runtime.GC()
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	pgBefore, began := postgresCPU(b), time.Now()
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() {
			for p, m := range messages[i] {
				if p >= window {
					c.Until("acknowledgement", func() bool { return c.Acked().Len() > uint64(p-window) })
				}
				c.Send(m)
			}
			c.WaitAcked(uint64(len(messages[i])))
		})
	}
	all.Wait()
	wall := time.Since(began).Seconds()
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	million := float64(nodes*readings) / 1e6
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(nodes*readings)/wall, "readings/s")
	b.ReportMetric((cpu(after)-cpu(before))/million, "own-s/M")
	b.ReportMetric((postgresCPU(b)-pgBefore)/million, "postgres-s/M")
	b.ReportMetric(float64(len(messages[0][0].Payload)), "bytes/record")
	sum, _ := strconv.ParseFloat(r.metric("andon_intake_batch_entries_sum"), 64)
	count, _ := strconv.ParseFloat(r.metric("andon_intake_batch_entries_count"), 64)
	b.ReportMetric(sum/count, "records/commit")
}
