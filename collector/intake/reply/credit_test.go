package reply_test

import (
	"fmt"
	"testing"
	"time"

	"andon.internal/collector/intake/reply"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// credits returns what each node was told last.
func (r *rig) credits() map[telemetry.Node]sparkplug.Credit {
	last := map[telemetry.Node]sparkplug.Credit{}
	for _, s := range r.log {
		if s.out.Ack != nil {
			last[s.out.Node] = s.out.Ack.Credit
		}
	}
	return last
}

func TestCreditStaysBelowTheBounds(t *testing.T) {
	tests := []struct {
		name          string
		nodes, active int
		load          float64
	}{
		{"one node", 1, 1, 0},
		{"few nodes", 7, 2, 0},
		{"all active", 50, 50, 0},
		{"none active", 50, 0, 0},
		{"half full", 50, 10, 0.5},
		{"five eighths full", 50, 10, 0.625},
		{"full", 50, 10, 1},
		{"more nodes than records", 300, 3, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const records, bytes = 200, 1 << 20
			r := newRig(t, reply.Config{Records: records, Bytes: bytes})
			for i := range tt.nodes {
				n := telemetry.Node{Group: "line1", ID: fmt.Sprint("cell-", i)}
				r.board.Born(n)
				if i < tt.active {
					r.board.Committed(n, reply.Epochs{epochA: set(0, 1)}, r.now)
				}
			}
			r.board.Load(tt.load)
			r.run(0)
			sumRecords, sumBytes, lowest := 0, int64(0), records
			for _, c := range r.credits() {
				sumRecords += c.Records
				sumBytes += c.Bytes
				lowest = min(lowest, c.Records)
			}
			if lowest < 1 {
				t.Errorf("a node has a credit of %d", lowest)
			}
			if sumRecords > records+tt.nodes || sumBytes > bytes+int64(tt.nodes) {
				t.Errorf("credits are %d records and %d bytes", sumRecords, sumBytes)
			}
			if tt.load == 0 && tt.nodes < records && (sumRecords < records/3 || sumBytes < bytes/3) {
				t.Errorf("credits of %d records and %d bytes leave most unused", sumRecords, sumBytes)
			}
			if tt.load == 1 && sumRecords != tt.nodes {
				t.Errorf("a full queue leaves %d records to %d nodes", sumRecords, tt.nodes)
			}
		})
	}
}

func TestWhoHasDataGetsMore(t *testing.T) {
	r := newRig(t, reply.Config{})
	r.board.Born(node)
	r.board.Born(other)
	r.board.Committed(node, reply.Epochs{epochA: set(0, 1)}, r.now)
	r.run(0)
	c := r.credits()
	if c[node].Records != 3*c[other].Records {
		t.Errorf("credits are %v", c)
	}
	r.run(10 * time.Second) // and loses it again
	c = r.credits()
	if c[node] != c[other] {
		t.Errorf("credits are %v long after the data", c)
	}
}

// TestCreditIsOfMemory: the credit is in bytes on the wire, the bound in bytes of
// memory, so the credit of a node whose records take ten times as much is a tenth.
func TestCreditIsOfMemory(t *testing.T) {
	r := newRig(t, reply.Config{Bytes: 1 << 20})
	r.board.Born(node)
	r.board.Born(other)
	r.run(500 * time.Millisecond)
	before := r.credits()
	r.board.Weigh(node, 1000, 10_000)
	r.board.Weigh(node, 1000, 9000)
	r.board.Weigh(other, 1000, 700)
	r.run(time.Second)
	after := r.credits()
	if got, want := after[node].Bytes, before[node].Bytes/10; got < want || got > want*11/10 {
		t.Errorf("credit is %d bytes, want %d", got, want)
	}
	if after[other] != before[other] {
		t.Errorf("the other's credit was %v and is %v", before[other], after[other])
	}
	for range 100 { // small records again
		r.board.Weigh(node, 1000, 1000)
	}
	r.run(2 * time.Second)
	if got, want := r.credits()[node].Bytes, before[node].Bytes; got < want*9/10 || got > want {
		t.Errorf("credit is %d bytes, want %d again", got, want)
	}
	r.board.Weigh(telemetry.Node{Group: "line1", ID: "stranger"}, 1, 1000) // is no matter
	r.board.Weigh(node, 0, 1000)
}

func BenchmarkCommittedAndDue(b *testing.B) {
	board := reply.New(reply.Config{})
	nodes := make([]telemetry.Node, 100)
	for i := range nodes {
		nodes[i] = telemetry.Node{Group: "line1", ID: fmt.Sprint("cell-", i)}
		board.Born(nodes[i])
	}
	now, p := start, uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		board.Committed(nodes[p%100], reply.Epochs{epochA: set(p, p+1)}, now)
		board.Due(now)
		now = now.Add(time.Millisecond)
		p++
	}
}
