package reply_test

import (
	"fmt"
	"testing"
	"time"

	"andon.internal/collector/intake/reply"
	"andon.internal/shared/ranges"
	"andon.internal/shared/telemetry"
)

var (
	start  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	node   = telemetry.Node{Group: "line1", ID: "cell"}
	other  = telemetry.Node{Group: "line1", ID: "other"}
	epochA = telemetry.Epoch{1}
	epochB = telemetry.Epoch{2}
)

func set(from, to uint64) ranges.Set { return ranges.Of(ranges.Range{From: from, To: to}) }

// sent is what a board said at one time.
type sent struct {
	at  time.Duration
	out reply.Out
}

// rig is a board with a clock that runs when it says so.
type rig struct {
	t     *testing.T
	board *reply.Board
	now   time.Time
	log   []sent
}

func newRig(t *testing.T, c reply.Config) *rig {
	return &rig{t: t, board: reply.New(c), now: start}
}

// run asks the board whenever it wants to be asked, for d.
func (r *rig) run(d time.Duration) {
	r.t.Helper()
	end := r.now.Add(d)
	for turns := 0; ; turns++ {
		if turns > 100_000 {
			r.t.Fatal("the board wants to be asked without end")
		}
		out, next := r.board.Due(r.now)
		for _, o := range out {
			r.log = append(r.log, sent{r.now.Sub(start), o})
		}
		if !next.After(r.now) {
			next = r.now.Add(time.Millisecond)
		}
		if next.After(end) {
			r.now = end
			return
		}
		r.now = next
	}
}

func (r *rig) acks(n telemetry.Node) []sent {
	var list []sent
	for _, s := range r.log {
		if s.out.Ack != nil && s.out.Node == n {
			list = append(list, s)
		}
	}
	return list
}

// said is every position that a node was told of.
func (r *rig) said(n telemetry.Node, e telemetry.Epoch) (all ranges.Set) {
	for _, s := range r.acks(n) {
		for _, part := range s.out.Ack.Epochs {
			if part.Epoch == e {
				all.AddSet(part.Committed)
			}
		}
	}
	return all
}

func TestPacing(t *testing.T) {
	r := newRig(t, reply.Config{})
	r.board.Born(node)
	// 1,000 commits, one a millisecond.
	for p := range uint64(1000) {
		r.board.Committed(node, reply.Epochs{epochA: set(p, p+1)}, r.now)
		r.run(time.Millisecond)
	}
	r.run(3 * time.Second)
	list := r.acks(node)
	for i := 1; i < len(list); i++ {
		if gap := list[i].at - list[i-1].at; gap < 20*time.Millisecond || gap > time.Second {
			t.Errorf("%v between two acknowledgements", gap)
		}
	}
	if n := len(list); n < 45 || n > 56 {
		t.Errorf("%d acknowledgements, want about 50 and one each idle second", n)
	}
	if got := r.said(node, epochA); !got.Equal(set(0, 1000)) {
		t.Errorf("said %v", got)
	}
}

func TestFirstCommitIsAcknowledgedAtOnce(t *testing.T) {
	r := newRig(t, reply.Config{})
	r.board.Born(node)
	r.run(500 * time.Millisecond)
	r.log = nil
	r.board.Committed(node, reply.Epochs{epochA: set(0, 1)}, r.now)
	r.run(0)
	if list := r.acks(node); len(list) != 1 {
		t.Errorf("%d acknowledgements, want one without delay", len(list))
	}
}

func TestIdleNodesHearEverySecond(t *testing.T) {
	r := newRig(t, reply.Config{})
	r.board.Born(node)
	r.run(10 * time.Second)
	if n := len(r.acks(node)); n < 10 || n > 12 {
		t.Errorf("%d acknowledgements in 10 s", n)
	}
	r.board.Gone(node)
	r.log = nil
	r.run(10 * time.Second)
	if n := len(r.log); n != 0 {
		t.Errorf("%d messages to a node that is gone", n)
	}
}

// TestLostAcknowledgementIsHealed: each position is said at least twice, so that one
// lost message costs no retransmission.
func TestLostAcknowledgementIsHealed(t *testing.T) {
	r := newRig(t, reply.Config{})
	r.board.Born(node)
	r.run(time.Second)
	for p := range uint64(100) {
		r.board.Committed(node, reply.Epochs{epochA: set(p, p+1)}, r.now)
		r.run(30 * time.Millisecond)
	}
	r.run(5 * time.Second)
	times := map[uint64]int{}
	for _, s := range r.acks(node) {
		for _, part := range s.out.Ack.Epochs {
			for _, x := range part.Committed.Ranges() {
				for p := x.From; p < x.To; p++ {
					times[p]++
				}
			}
		}
	}
	for p := range uint64(100) {
		if times[p] < 2 {
			t.Errorf("position %d was said %d times", p, times[p])
		}
	}
	r.run(20 * time.Second)
	r.log = nil
	r.run(2 * time.Second)
	if got := r.said(node, epochA); !got.Empty() {
		t.Errorf("old positions are said for ever: %v", got)
	}
}

func TestNothingIsSaidThatWasNotCommitted(t *testing.T) {
	r := newRig(t, reply.Config{})
	r.board.Born(node)
	r.board.Born(other)
	r.board.Committed(node, reply.Epochs{epochA: set(3, 5), epochB: set(1, 2)}, r.now)
	r.board.Committed(telemetry.Node{Group: "g", ID: "unknown"}, reply.Epochs{epochA: set(9, 10)}, r.now)
	r.run(3 * time.Second)
	if got := r.said(node, epochA); !got.Equal(set(3, 5)) {
		t.Errorf("said %v of the first epoch", got)
	}
	if got := r.said(node, epochB); !got.Equal(set(1, 2)) {
		t.Errorf("said %v of the second epoch", got)
	}
	if got := r.said(other, epochA); !got.Empty() {
		t.Errorf("told another node %v", got)
	}
	for _, s := range r.log {
		if s.out.Node != node && s.out.Node != other {
			t.Errorf("spoke to %v", s.out.Node)
		}
	}
}

func TestCommittedIsCopied(t *testing.T) {
	r := newRig(t, reply.Config{})
	r.board.Born(node)
	mine := set(0, 2)
	r.board.Committed(node, reply.Epochs{epochA: mine}, r.now)
	mine.Add(2, 100)
	r.run(time.Second)
	if got := r.said(node, epochA); !got.Equal(set(0, 2)) {
		t.Errorf("said %v", got)
	}
}

func TestSync(t *testing.T) {
	r := newRig(t, reply.Config{MaxText: 200})
	r.board.Born(node)
	var many ranges.Set
	for p := uint64(0); p < 400; p += 2 {
		many.Add(p, p+1)
	}
	r.board.Answer(node, 7, reply.Epochs{epochA: many, epochB: {}}, r.now)
	r.run(time.Second)
	parts, of := map[int]bool{}, 0
	for _, s := range r.acks(node) {
		if s.out.Ack.Sync != nil {
			if s.out.Ack.Sync.Session != 7 {
				t.Errorf("session %d", s.out.Ack.Sync.Session)
			}
			parts[s.out.Ack.Sync.Part], of = true, s.out.Ack.Sync.Of
		}
		if n := len(s.out.Ack.String()); n > 200 {
			t.Errorf("acknowledgement of %d bytes", n)
		}
	}
	if of < 10 || len(parts) != of {
		t.Errorf("%d of %d parts", len(parts), of)
	}
	if got := r.said(node, epochA); !got.Equal(many) {
		t.Errorf("said %v", got)
	}
}

// TestSyncIsRepeated: nothing answers it, so it is said again, and then with what
// was committed meanwhile.
func TestSyncIsRepeated(t *testing.T) {
	r := newRig(t, reply.Config{})
	r.board.Born(node)
	r.board.Answer(node, 7, reply.Epochs{epochA: set(0, 10)}, r.now)
	r.run(time.Second)
	r.board.Committed(node, reply.Epochs{epochA: set(10, 20)}, r.now)
	r.run(time.Minute)
	var at []time.Duration
	var last ranges.Set
	for _, s := range r.acks(node) {
		if s.out.Ack.Sync != nil {
			at = append(at, s.at)
			last = s.out.Ack.Epochs[0].Committed
		}
	}
	if fmt.Sprint(at) != fmt.Sprint([]time.Duration{0, 2 * time.Second, 10 * time.Second}) {
		t.Errorf("said at %v", at)
	}
	if !last.Equal(set(0, 20)) {
		t.Errorf("the last repeat says %v", last)
	}
}

func TestNewBirthEndsTheOldSync(t *testing.T) {
	r := newRig(t, reply.Config{})
	r.board.Born(node)
	r.board.Answer(node, 7, reply.Epochs{epochA: set(0, 10)}, r.now)
	r.run(time.Second)
	r.board.Born(node)
	r.log = nil
	r.run(time.Minute)
	for _, s := range r.acks(node) {
		if s.out.Ack.Sync != nil {
			t.Errorf("the old session is answered at %v", s.at)
		}
	}
}

func TestResetSaysNothingOfBefore(t *testing.T) {
	r := newRig(t, reply.Config{})
	r.board.Born(node)
	r.board.Committed(node, reply.Epochs{epochA: set(0, 10)}, r.now)
	r.board.Rebirth(node)
	r.board.Reset()
	r.run(5 * time.Second)
	if len(r.log) != 0 {
		t.Errorf("said %v", r.log)
	}
	r.board.Born(node)
	r.run(5 * time.Second)
	if got := r.said(node, epochA); !got.Empty() {
		t.Errorf("said %v of before", got)
	}
}

func TestRebirths(t *testing.T) {
	r := newRig(t, reply.Config{Rebirths: 10})
	for i := range 35 {
		n := telemetry.Node{Group: "line1", ID: fmt.Sprint("cell-", i)}
		r.board.Rebirth(n)
		r.board.Rebirth(n) // once is enough
	}
	count := func() int { return len(r.log) }
	r.run(0)
	if count() != 10 {
		t.Errorf("%d at once, want the 10 of a second", count())
	}
	r.run(time.Second)
	if n := count(); n < 19 || n > 21 {
		t.Errorf("%d after a second", n)
	}
	r.run(3 * time.Second)
	seen := map[telemetry.Node]int{}
	for _, s := range r.log {
		seen[s.out.Node]++
		if s.out.Ack != nil {
			t.Error("a Rebirth is no acknowledgement")
		}
	}
	if len(seen) != 35 || count() != 35 {
		t.Errorf("%d nodes were asked %d times", len(seen), count())
	}
}

// TestRebirthsThatWaitAreBounded: a stranger may use any number of names.
func TestRebirthsThatWaitAreBounded(t *testing.T) {
	const bound, strangers = 4096, 5000
	r := newRig(t, reply.Config{Rebirths: 1000})
	refused := 0
	for i := range strangers {
		if !r.board.Rebirth(telemetry.Node{Group: "line1", ID: fmt.Sprint("cell-", i)}) {
			refused++
		}
	}
	if !r.board.Rebirth(telemetry.Node{Group: "line1", ID: "cell-0"}) {
		t.Error("what waits already counts as refused")
	}
	r.run(10 * time.Second)
	if len(r.log) != bound || refused != strangers-bound {
		t.Errorf("%d nodes are asked and %d are not, want %d and %d", len(r.log), refused, bound, strangers-bound)
	}
	if !r.board.Rebirth(telemetry.Node{Group: "line1", ID: "cell-4999"}) {
		t.Error("there is no room when all are asked")
	}
}
