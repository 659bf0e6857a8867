package buffer_test

import (
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"andon.internal/agent/buffer"
)

// TestWhatIsDueIsNotHeldUp: where an alarm is to be written, and the chain file to be renewed, and
// files to be tried that did not open, the alarm comes first.
func TestWhatIsDueIsNotHeldUp(t *testing.T) {
	o, _ := filled(t, 60, 10_000)
	var mu sync.Mutex
	var steps []string
	unreadable := map[int]uint64{} // at the step with this number
	var b *buffer.Buffer
	goOn, waits := make(chan struct{}), make(chan struct{})
	o.SetStep(func(name string) error {
		mu.Lock()
		defer mu.Unlock()
		if steps = append(steps, name); name != "write" {
			return nil
		}
		if len(unreadable) == 0 {
			close(waits)
			<-goOn
		}
		unreadable[len(steps)-1] = b.Stats().UnreadableRecords
		return nil
	})
	b = open(t, o)
	files := recordFiles(t, o.Dir)
	reopen := []func(){closed(t, files[0]), closed(t, files[1])}
	givenOut(t, b)
	restore := chainBreaks(t, o.Dir)
	appendAt(t, b, 0, items(60), nil)
	<-waits
	for _, fn := range reopen {
		fn()
	}
	alarm := items(61)
	alarm[0].Class = buffer.Alarm
	appendAt(t, b, 1, alarm, nil)
	time.Sleep(2100 * time.Millisecond) // until all is due
	close(goOn)
	within(t, "all is mended", func() bool { st := b.Stats(); return st.Unreadable == nil && st.ChainError == nil })
	restore()
	mu.Lock()
	defer mu.Unlock()
	mended, second := slices.Index(steps, "mend"), 0
	for at := range unreadable {
		second = max(second, at)
	}
	if len(unreadable) != 2 || mended < second || unreadable[second] == 0 {
		t.Errorf("the alarm is written behind what is to be mended: %v, %v", steps, unreadable)
	}
	if left, _ := filepath.Glob(filepath.Join(o.Dir, "*.tmp")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestAlarmsHoldNothingUp: where files cannot grow, alarms go first, and however many come, what
// else there is goes as well.
func TestAlarmsHoldNothingUp(t *testing.T) {
	o := small(t.TempDir())
	o.AlarmLinger = 50 * time.Millisecond
	var cramped atomic.Pointer[buffer.Buffer]
	var n atomic.Int64
	alarm := func(id int) buffer.Item { return buffer.Item{Class: buffer.Alarm, Data: payload(id, 300)} }
	o.SetStep(func(name string) error {
		if b := cramped.Load(); name == "write" && b != nil {
			if i := n.Add(1); i < 50 {
				_, err := b.Append([]buffer.Item{alarm(int(i))}, nil)
				return err
			}
		}
		return nil
	})
	b := open(t, o)
	buffer.SetCramped(b)
	cramped.Store(b)
	at, err := b.Append([]buffer.Item{items(0)[0], alarm(1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	within(t, "the reading is on disk", func() bool {
		s, _, err := b.Get(buffer.Key{Epoch: b.Epoch(), Position: at})
		return err == nil && s.OnDisk
	})
	if n := n.Load(); n > 10 {
		t.Errorf("it went with transaction %d", n)
	}
	written(t, b)
}
