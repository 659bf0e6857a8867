package buffer_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"andon.internal/agent/buffer"
)

// field is a folder to be damaged: records of several epochs in several files, small ones
// inside of the index and large ones with pages of their own, some acknowledged, with a
// cursor and the record of a loss.
type field struct {
	dir     string
	live    map[buffer.Key][]byte // every record that is held
	acked   map[buffer.Key]bool
	older   map[string][]byte // record files as they were some transactions before
	foreign [][]byte
}

func makeField(t *testing.T, seed int, clean bool) *field {
	t.Helper()
	f := &field{dir: filepath.Join(t.TempDir(), "field"), live: map[buffer.Key][]byte{}, acked: map[buffer.Key]bool{}, older: map[string][]byte{}}
	rng := rand.New(rand.NewPCG(uint64(seed), 11))
	f.grow(t, rng, f.dir, clean, true)
	other := &field{live: map[buffer.Key][]byte{}, acked: map[buffer.Key]bool{}, older: map[string][]byte{}}
	dir := filepath.Join(t.TempDir(), "other")
	other.grow(t, rng, dir, true, false)
	for _, path := range recordFiles(t, dir) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f.foreign = append(f.foreign, data)
	}
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	f.foreign = append(f.foreign, noise, foreignDatabase(t))
	return f
}

// foreignDatabase is a bbolt file of another program.
func foreignDatabase(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("records"))
		for i := 0; err == nil && i < 300; i++ {
			err = b.Put(fmt.Append(nil, i), payload(i, 700))
		}
		return err
	})
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (f *field) grow(t *testing.T, rng *rand.Rand, dir string, clean, crash bool) {
	t.Helper()
	o := small(dir)
	o.RotateBytes = 256 << 10
	id := 0
	for epoch := range 3 {
		b, err := buffer.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		at := uint64(0)
		for round := range 14 {
			var c *buffer.Cursor
			if round%5 == 4 {
				c = &buffer.Cursor{Name: "replay", Data: fmt.Append(nil, id)}
			}
			var list []buffer.Item
			for range 1 + rng.IntN(8) {
				size := [...]int{60, 300, 900, 2500, 9000}[rng.IntN(5)]
				data := payload(id, size)
				id++
				f.live[buffer.Key{Epoch: b.Epoch(), Position: at + uint64(len(list))}] = data
				list = append(list, buffer.Item{Data: data, Rows: 1, Label: "u"})
			}
			appendAt(t, b, at, list, c)
			at += uint64(len(list))
			written(t, b)
			if round%4 == 3 {
				from := at - uint64(rng.IntN(int(min(at, 12)))+1)
				to := from + 1 + uint64(rng.IntN(4))
				if err := b.Ack(b.Epoch(), set(from, to)); err != nil {
					t.Fatal(err)
				}
				for p := from; p < min(to, at); p++ {
					k := buffer.Key{Epoch: b.Epoch(), Position: p}
					delete(f.live, k)
					f.acked[k] = true
				}
			}
			if epoch == 2 && round == 9 || round == 11 {
				f.remember(t, dir)
			}
		}
		end := b.Close
		if crash && (epoch == 1 || epoch == 2 && !clean) {
			end = func() error { return buffer.Abandon(b) }
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
	}
}

// remember keeps the files as they are.
func (f *field) remember(t *testing.T, dir string) {
	t.Helper()
	for _, path := range recordFiles(t, dir) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f.older[filepath.Base(path)] = data
	}
}
