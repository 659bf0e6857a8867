package buffer_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

// filled makes a folder that holds records 0 to n-1 of an epoch that was closed.
func filled(t *testing.T, n, size int) (buffer.Options, buffer.Epoch) {
	t.Helper()
	o := small(t.TempDir())
	o.RotateBytes = 256 << 10
	b, err := buffer.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		appendAt(t, b, uint64(i), []buffer.Item{{Data: payload(i, size), Rows: 1}}, nil)
		if i%10 == 0 {
			written(t, b)
		}
	}
	epoch := b.Epoch()
	closeChecked(t, b)
	return o, epoch
}

// flip changes a byte inside of a record's content, wherever that lies.
func flip(t *testing.T, dir string, id, size int) {
	t.Helper()
	content := payload(id, size)
	for _, path := range recordFiles(t, dir) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// A page that was written again lies there twice.
		if !bytes.Contains(data, content) {
			continue
		}
		broken := bytes.Clone(content)
		broken[size/2] ^= 0x40
		if err := os.WriteFile(path, bytes.ReplaceAll(data, content, broken), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("record %d is in no file", id)
}

// TestDamagedRecord: it is not given out, becomes a loss, and its neighbours live on.
func TestDamagedRecord(t *testing.T) {
	for _, size := range []int{100, 10_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			o, epoch := filled(t, 12, size)
			o.Linger = 300 * time.Millisecond // in which neighbours become one loss
			for _, id := range []int{4, 5, 9} {
				flip(t, o.Dir, id, size)
			}
			for restart := range 2 {
				b := open(t, o)
				all(t, b, buffer.Backlog)
				within(t, "the losses are told", func() bool { return len(all(t, b, buffer.Backlog)) == 11 })
				wantLane(t, b, buffer.Backlog, "0:0 1:1 2:2 3:3 6:6 7:7 8:8 10:10 11:11 0:loss damaged[4,6) 1:loss damaged[9,10)")
				if st := b.Stats(); st.LostRecords != 3 {
					t.Errorf("%d records lost, want 3", st.LostRecords)
				}
				if restart == 0 {
					// The file is not written any more, so its damage is found again, unless the
					// losses and the rest are acknowledged and the file is gone.
					if err := buffer.Abandon(b); err != nil {
						t.Fatal(err)
					}
					keep(t, o.Dir, ".sealed.db")
					continue
				}
				_ = b.Ack(epoch, set(0, 12))
				_ = b.Ack(b.Epoch(), set(0, 2))
				within(t, "the damaged file is gone", func() bool {
					left, _ := filepath.Glob(filepath.Join(o.Dir, "*.sealed.db"))
					return len(left) == 0 && b.Stats().Records == 0
				})
			}
		})
	}
}

// keep removes the record files whose name does not end so.
func keep(t *testing.T, dir, suffix string) {
	t.Helper()
	for _, path := range recordFiles(t, dir) {
		if !strings.HasSuffix(path, suffix) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestDamagedFile: what reads back is salvaged, the rest becomes losses, the file is set
// aside, and the buffer goes on.
func TestDamagedFile(t *testing.T) {
	for name, damage := range map[string]func(data []byte) []byte{
		"zeroed":    func(data []byte) []byte { return make([]byte, len(data)) },
		"cut off":   func(data []byte) []byte { return data[:len(data)/2] },
		"empty":     func([]byte) []byte { return nil },
		"one page":  func(data []byte) []byte { return data[:4096] },
		"not bbolt": func([]byte) []byte { return []byte(strings.Repeat("something else ", 5000)) },
		"no root": func(data []byte) []byte {
			for i := 2 * 4096; i < len(data); i += 4096 {
				clear(data[i : i+16])
			}
			return data
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, epoch := filled(t, 60, 10_000)
			path := recordFiles(t, o.Dir)[0]
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(data), 0o600); err != nil {
				t.Fatal(err)
			}
			b := open(t, o)
			list := all(t, b, buffer.Backlog)
			var there, lost ranges.Set
			for _, s := range list {
				if s.Class == buffer.Loss {
					l, err := buffer.DecodeLoss(s.Data)
					if err != nil || l.Epoch != epoch || l.Reason != "damaged" || lost.Add(l.From, l.To) != l.To-l.From {
						t.Errorf("the loss is %+v, %v", l, err)
					}
				} else if id, ok := idOf(s.Data); !ok || s.Epoch != epoch || uint64(id) != s.Position {
					t.Errorf("position %d is record %d, %v", s.Position, id, ok)
				} else {
					there.Add(s.Position, s.Position+1)
				}
			}
			if both := there.Intersect(lost); !both.Empty() || there.Len()+lost.Len() != 60 || there.Len() < 35 {
				t.Errorf("%v are there, %v lost", there, lost)
			}
			if saved := there.Contains(0); saved != (name == "cut off") {
				t.Errorf("of the damaged file came back %v", there)
			}
			if aside, _ := filepath.Glob(path + ".damaged-*"); len(aside) != 1 {
				t.Errorf("set aside: %v", aside)
			}
			closeChecked(t, b)
			b = open(t, o)
			if again := all(t, b, buffer.Backlog); len(again) != len(list) {
				t.Errorf("after another start %d records, want %d", len(again), len(list))
			}
		})
	}
}

// TestFileBreaksWhileOpen: a file that is cut off under a running buffer is set aside
// when it is read.
func TestFileBreaksWhileOpen(t *testing.T) {
	o, epoch := filled(t, 60, 10_000)
	b := open(t, o)
	path := recordFiles(t, o.Dir)[0]
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	list, loss := withLoss(t, b)
	if loss.Epoch != epoch || loss.From != 0 || loss.To+uint64(len(list))-1 != 60 {
		t.Errorf("the loss is %+v; %d records are left", loss, len(list)-1)
	}
}

// withLoss reads the backlog until a loss record comes at its end.
func withLoss(t *testing.T, b *buffer.Buffer) (list []buffer.Stored, loss buffer.LossInfo) {
	t.Helper()
	within(t, "the loss is told", func() bool {
		list = all(t, b, buffer.Backlog)
		return list[len(list)-1].Class == buffer.Loss
	})
	loss, err := buffer.DecodeLoss(list[len(list)-1].Data)
	if err != nil {
		t.Fatal(err)
	}
	return list, loss
}

// TestRandomDamage: whatever bytes change in record files, Open and Next return, what
// is given out is what was appended, and the rest is told.
func TestRandomDamage(t *testing.T) {
	o, epoch := filled(t, 40, 3_000)
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 40 {
		dir := filepath.Join(t.TempDir(), "copy")
		if err := image(o.Dir, dir); err != nil {
			t.Fatal(err)
		}
		files := recordFiles(t, dir)
		path := files[rng.IntN(len(files))]
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		what := damageSome(rng, data)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c := small(dir)
		c.RotateBytes = o.RotateBytes
		b, err := buffer.Open(c)
		if err != nil {
			t.Fatalf("round %d, %s: %v", round, what, err)
		}
		seen := map[int]bool{}
		for pass := range 2 {
			for _, s := range all(t, b, buffer.Backlog) {
				if s.Class == buffer.Loss || pass > 0 {
					continue
				}
				id, ok := idOf(s.Data)
				if !ok || s.Epoch != epoch || s.Position != uint64(id) || seen[id] {
					t.Errorf("round %d, %s: position %d is record %d, %v", round, what, s.Position, id, ok)
				}
				seen[id] = true
			}
		}
		// A file that is set aside without a note leaves holes below the epoch's Next, which
		// the collector closes.
		if ep := b.Chain()[0]; len(seen) < 40 && ep.Epoch == epoch && ep.Next != 40 {
			t.Errorf("round %d, %s: the epoch ended at %d", round, what, ep.Next)
		}
		_ = b.Ack(epoch, set(0, 40))
		if err := b.Close(); err != nil {
			t.Errorf("round %d, %s: %v", round, what, err)
		}
	}
}

// damageSome changes data in one of five ways and says what it did.
func damageSome(rng *rand.Rand, data []byte) string {
	page := func() int { return rng.IntN(len(data)/4096) * 4096 }
	switch rng.IntN(5) {
	case 0:
		at := rng.IntN(len(data))
		data[at] ^= 1 << rng.IntN(8)
		return fmt.Sprintf("bit at %d", at)
	case 1:
		at := page()
		clear(data[at : at+4096])
		return fmt.Sprintf("page at %d zeroed", at)
	case 2:
		a, b := page(), page()
		tmp := bytes.Clone(data[a : a+4096])
		copy(data[a:a+4096], data[b:b+4096])
		copy(data[b:b+4096], tmp)
		return fmt.Sprintf("pages at %d and %d swapped", a, b)
	case 3:
		a, b := page(), page()
		copy(data[a:a+4096], data[b:b+4096])
		return fmt.Sprintf("page at %d copied to %d", b, a)
	default:
		at := page()
		for i := range 64 {
			data[at+i] = byte(rng.Uint32())
		}
		return fmt.Sprintf("head of page at %d", at)
	}
}
