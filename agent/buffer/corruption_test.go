package buffer_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/shared/ranges"
)

// corruptions is how often each kind of damage is tried. ANDON_CORRUPTIONS sets another
// number, and ANDON_CORRUPTIONS_SEED begins elsewhere.
const corruptions = 150

// corruptionKinds are the kinds of damage. Each changes one record file.
var corruptionKinds = map[string]func(c *corruption, path string){
	"flip": func(c *corruption, path string) {
		c.rewrite(path, func(data []byte) []byte {
			at := c.somewhere(data)
			data[at] ^= 1 << c.rng.IntN(8)
			c.what = fmt.Sprintf("a bit of byte %d", at)
			return data
		})
	},
	"zero": func(c *corruption, path string) {
		c.rewrite(path, func(data []byte) []byte {
			at := c.somewhere(data)
			n := min([...]int{16, 512, 4096, 16384}[c.rng.IntN(4)], len(data)-at)
			clear(data[at : at+n])
			c.what = fmt.Sprintf("%d bytes from %d", n, at)
			return data
		})
	},
	"truncate": func(c *corruption, path string) {
		c.rewrite(path, func(data []byte) []byte {
			n := c.rng.IntN(len(data))
			c.what = fmt.Sprintf("to %d of %d", n, len(data))
			return data[:n]
		})
	},
	"stale page": func(c *corruption, path string) {
		c.rewrite(path, func(data []byte) []byte {
			old := c.field.older[filepath.Base(path)]
			for range 100 {
				page := c.page(min(len(data), len(old)))
				if bytes.Equal(data[page:page+4096], old[page:page+4096]) {
					continue
				}
				copy(data[page:page+4096], old[page:page+4096])
				c.what, c.oldMeta = fmt.Sprintf("page %d", page/4096), page < 2*4096
				break
			}
			return data
		})
	},
	"swapped page": func(c *corruption, path string) {
		c.rewrite(path, func(data []byte) []byte {
			p, q := c.page(len(data)), c.page(len(data))
			tmp := bytes.Clone(data[p : p+4096])
			copy(data[p:p+4096], data[q:q+4096])
			copy(data[q:q+4096], tmp)
			c.what = fmt.Sprintf("pages %d and %d", p/4096, q/4096)
			return data
		})
	},
	"foreign file": func(c *corruption, path string) {
		c.rewrite(path, func([]byte) []byte {
			other := c.field.foreign[c.rng.IntN(len(c.field.foreign))]
			if c.rng.IntN(3) == 0 {
				other = bytes.Clone(other[:c.rng.IntN(len(other))])
			}
			c.what = fmt.Sprintf("%d bytes of another", len(other))
			return other
		})
	},
}

// delivered is which part of all records each kind of damage leaves at the least, so that what
// harmOf calls harmed is not everything. Measured with six seeds: 0.99 where a page is hit,
// 0.98 with zeros, 0.83 and 0.65 where files are cut off and replaced.
var delivered = map[string]float64{
	"flip": 0.98, "zero": 0.96, "stale page": 0.98, "swapped page": 0.97, "truncate": 0.75, "foreign file": 0.5,
}

// corruption is one case.
type corruption struct {
	t       *testing.T
	rng     *rand.Rand
	field   *field
	what    string
	oldMeta bool // a meta page is an earlier one, and the file a perfectly good earlier state
}

func (c *corruption) rewrite(path string, change func(data []byte) []byte) {
	data, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// page chooses a page, every fourth time one of the first eight.
func (c *corruption) page(size int) int {
	n := size / 4096
	if c.rng.IntN(4) == 0 {
		n = min(n, 8)
	}
	return c.rng.IntN(n) * 4096
}

// somewhere chooses a byte, half of the time near the head of its page.
func (c *corruption) somewhere(data []byte) int {
	at := c.page(len(data))
	if c.rng.IntN(2) == 0 {
		return at + c.rng.IntN(160)
	}
	return at + c.rng.IntN(4096)
}

// TestCorruptions damages record files in every way. After each, the buffer opens within
// its time; what it gives out is what was appended, under the name that it had; each record
// that was held is given out or told lost; and told lost is none whose pages are what they
// were, nor a position that never was, unless the counts of the file are gone (see
// tellsNoMore).
//
// Where a meta page is an earlier one, what is left is a perfectly good earlier state of
// the file. What is missing then is counted apart: ARCHITECTURE.md says why.
func TestCorruptions(t *testing.T) {
	n, seed := corruptions, uint64(1)
	for name, to := range map[string]func(v int){
		"ANDON_CORRUPTIONS":      func(v int) { n = v },
		"ANDON_CORRUPTIONS_SEED": func(v int) { seed = uint64(v) },
	} {
		if v, err := strconv.Atoi(os.Getenv(name)); err == nil {
			to(v)
		}
	}
	t.Logf("ANDON_CORRUPTIONS_SEED=%d", seed)
	fields := []*field{makeField(t, int(seed), true), makeField(t, int(seed), false)}
	for kind := range corruptionKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var sum outcome
			for i := range n {
				c := &corruption{t: t, field: fields[i%2], rng: rand.New(rand.NewPCG(seed, uint64(i)))}
				sum.add(c.run(kind))
			}
			t.Logf("%s, %d files: %+v", kind, n, sum)
			held := sum.Delivered + sum.Lost + sum.UndetectedOlderState
			if part := float64(sum.Delivered) / float64(held); n >= corruptions && part < delivered[kind] {
				t.Errorf("%.3f of %d records came back, want %.2f", part, held, delivered[kind])
			}
		})
	}
}

// outcome counts what became of records.
type outcome struct{ Sound, SetAside, Delivered, Lost, LostOfOthers, UndetectedOlderState int }

func (o *outcome) add(p outcome) {
	o.Sound += p.Sound
	o.SetAside += p.SetAside
	o.Delivered += p.Delivered
	o.Lost += p.Lost
	o.LostOfOthers += p.LostOfOthers
	o.UndetectedOlderState += p.UndetectedOlderState
}

func (c *corruption) run(kind string) (sum outcome) {
	dir := filepath.Join(c.t.TempDir(), "copy")
	if err := image(c.field.dir, dir); err != nil {
		c.t.Fatal(err)
	}
	files := recordFiles(c.t, dir)
	path := files[c.rng.IntN(len(files))]
	for kind == "stale page" && c.field.older[filepath.Base(path)] == nil {
		path = files[c.rng.IntN(len(files))]
	}
	sound, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	corruptionKinds[kind](c, path)
	harm := harmOf(c.t, path, sound)
	what := func() string { return kind + " of " + filepath.Base(path) + ": " + c.what }
	o := small(dir)
	o.RotateBytes = 256 << 10
	began := time.Now()
	b, err := buffer.Open(o)
	if err != nil {
		c.t.Errorf("%s: %v", what(), err)
		return sum
	}
	defer func() {
		if err := b.Close(); err != nil {
			c.t.Errorf("%s: %v", what(), err)
		}
		if err := os.RemoveAll(dir); err != nil {
			c.t.Error(err)
		}
	}()
	seen, lost := map[buffer.Key]bool{}, map[buffer.Epoch]*ranges.Set{}
	c.read(b, what(), seen, lost)
	within(c.t, "losses are records", func() bool { return buffer.OpenLosses(b) == 0 })
	c.read(b, what(), map[buffer.Key]bool{}, lost)
	if took := time.Since(began); took > 20*time.Second {
		c.t.Errorf("%s: took %s", what(), took)
	}
	sum.add(c.compare(what(), seen, lost))
	c.tellsNoMore(what(), harm, seen, lost)
	if aside, _ := filepath.Glob(path + ".damaged-*"); len(aside) == 1 {
		sum.SetAside++
	} else {
		sum.Sound++
	}
	return sum
}

// read reads everything and notes what comes.
func (c *corruption) read(b *buffer.Buffer, what string, seen map[buffer.Key]bool, lost map[buffer.Epoch]*ranges.Set) {
	for _, s := range all(c.t, b, buffer.Backlog) {
		if s.Class == buffer.Loss {
			l, err := buffer.DecodeLoss(s.Data)
			if err != nil {
				c.t.Errorf("%s: %v", what, err)
				continue
			}
			if lost[l.Epoch] == nil {
				lost[l.Epoch] = &ranges.Set{}
			}
			lost[l.Epoch].Add(l.From, l.To)
			continue
		}
		want, ok := c.field.live[s.Key]
		if !ok && c.field.acked[s.Key] {
			if _, ok := idOf(s.Data); !ok {
				c.t.Errorf("%s: position %d does not hold what was appended", what, s.Position)
			}
			continue
		}
		if !ok || !bytes.Equal(want, s.Data) || seen[s.Key] {
			c.t.Errorf("%s: position %d of epoch %x is wrong or twice", what, s.Position, s.Epoch[10:])
		}
		seen[s.Key] = true
	}
}
