package buffer_test

import (
	"path/filepath"
	"testing"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

// database has records by their names, as the ledger does: a name that comes again is a
// repeat, whatever the record under it holds.
type database map[buffer.Key]int

// drain has all that a buffer holds stored and acknowledged, as a link that works does. A
// record that would be taken for another one fails the test: it would be lost silently.
func (d database) drain(t *testing.T, b *buffer.Buffer) {
	t.Helper()
	written(t, b)
	for _, s := range all(t, b, buffer.Backlog) {
		id, ok := idOf(s.Data)
		if !ok {
			t.Fatalf("%v does not hold what was appended", s.Key)
		}
		if other, known := d[s.Key]; known && other != id {
			t.Errorf("record %d would be taken for a repeat of %d", id, other)
			continue
		}
		d[s.Key] = id
		if err := b.Ack(s.Epoch, ranges.Of(ranges.Range{From: s.Position, To: s.Position + 1})); err != nil {
			t.Fatal(err)
		}
	}
}

// want checks that the records 0 to n-1 are there, each once.
func (d database) want(t *testing.T, n int) {
	t.Helper()
	times := map[int]int{}
	for _, id := range d {
		times[id]++
	}
	for id := range n {
		if times[id] != 1 {
			t.Errorf("record %d is stored %d times", id, times[id])
		}
	}
	if len(times) != n {
		t.Errorf("%d records are stored, want %d", len(times), n)
	}
}

// put appends the records from..to-1.
func put(t *testing.T, b *buffer.Buffer, from, to int) {
	t.Helper()
	for id := from; id < to; id++ {
		if _, err := b.Append(items(id), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// copied copies the folder of a buffer on which nobody writes at the moment.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := image(dir, to); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestRolledBackImage: the disk is put back to what it was an hour ago, stopped or in the
// midst of a run; the machine has used names since of which it knows nothing now. It uses
// none of them again, and what it still holds goes out under the names of then.
func TestRolledBackImage(t *testing.T) {
	for name, running := range map[string]bool{"of a stopped agent": false, "of a running one": true} {
		t.Run(name, func(t *testing.T) {
			d := database{}
			dir := t.TempDir()
			b := open(t, small(dir))
			put(t, b, 0, 10)
			written(t, b)
			var old string
			if running {
				old = copied(t, dir)
			} else {
				closeChecked(t, b)
				old = copied(t, dir)
				b = open(t, small(dir))
			}
			put(t, b, 10, 20)
			d.drain(t, b)
			closeChecked(t, b)
			b = open(t, small(dir)) // and once more, in an epoch that the image does not know
			put(t, b, 20, 30)
			d.drain(t, b)
			closeChecked(t, b)

			b = open(t, small(old))
			put(t, b, 30, 40)
			d.drain(t, b)
			d.want(t, 40)
			closeChecked(t, b)
			b = open(t, small(old))
			put(t, b, 40, 50)
			d.drain(t, b)
			d.want(t, 50)
		})
	}
}

// TestClonedCard: a second box begins with a copy of the first one's card, when the first
// is over, or while it runs on. What both hold has one name; what each takes has another.
func TestClonedCard(t *testing.T) {
	for name, together := range map[string]bool{"one after the other": false, "both at once": true} {
		t.Run(name, func(t *testing.T) {
			d := database{}
			dir := t.TempDir()
			b := open(t, small(dir))
			put(t, b, 0, 10)
			closeChecked(t, b)
			card := copied(t, dir)
			first := open(t, small(dir))
			if !together {
				put(t, first, 10, 20)
				d.drain(t, first)
				closeChecked(t, first)
			}
			second := open(t, small(card))
			if together {
				for id := 10; id < 20; id++ {
					put(t, first, id, id+1)
					put(t, second, id+10, id+11)
					if id%3 == 0 {
						d.drain(t, second)
						d.drain(t, first)
					}
				}
				d.drain(t, first)
			} else {
				put(t, second, 20, 30)
			}
			d.drain(t, second)
			d.want(t, 30)
			if a, c := first.Epoch(), second.Epoch(); a == c {
				t.Error("both name the epoch alike")
			}
			chain := second.Chain()
			if last := chain[len(chain)-1]; last.Prev != b.Chain()[0].Epoch {
				t.Errorf("the second box goes on from %v", last.Prev)
			}
		})
	}
}
