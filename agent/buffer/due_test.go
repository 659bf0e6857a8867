package buffer_test

import (
	"path/filepath"
	"slices"
	"sync"
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
	time.Sleep(2100 * time.Millisecond) // until all is due
	alarm := items(61)
	alarm[0].Class = buffer.Alarm
	appendAt(t, b, 1, alarm, nil)
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
