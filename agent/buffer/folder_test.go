package buffer_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"andon.internal/agent/buffer"
)

// readable opens the folder of a stopped buffer for reading.
func readable(t *testing.T, dir string) *buffer.Folder {
	t.Helper()
	f, err := buffer.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// found reads everything of a folder.
func found(t *testing.T, f *buffer.Folder) (records, bad []buffer.Found) {
	t.Helper()
	err := f.Verify(t.Context(), func(r buffer.Found) error {
		if r.Err != nil {
			bad = append(bad, r)
		} else {
			records = append(records, r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records, bad
}

// picture is the state of every file of a folder.
func picture(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&out, path, info.Mode(), info.Size(), info.ModTime())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestAStoppedBufferIsReadUnchanged: all records with their names, by two at once, without
// write permission, and nothing in the folder is touched.
func TestAStoppedBufferIsReadUnchanged(t *testing.T) {
	for _, size := range []int{100, 10_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			o, epoch := filled(t, 40, size)
			before := picture(t, o.Dir)
			for _, f := range []*buffer.Folder{readable(t, o.Dir), readable(t, o.Dir)} {
				records, bad := found(t, f)
				if len(records) != 40 || len(bad) > 0 {
					t.Fatalf("%d records, damaged: %v", len(records), bad)
				}
				for i, r := range records {
					if id, ok := idOf(r.Data); !ok || id != i || r.Key != (buffer.Key{Epoch: epoch, Position: uint64(i)}) || r.Offset == 0 {
						t.Errorf("record %d is %v, %d of %s", i, r.Key, r.Offset, r.File)
					}
				}
				inv, err := f.Inventory()
				if err != nil || len(inv.Faults) > 0 || len(inv.Epochs) != 1 {
					t.Fatalf("inventory %+v, %v", inv, err)
				}
				e := inv.Epochs[0]
				if e.Epoch != epoch || e.Ended != buffer.EndClosed || e.Next != 40 || e.Held.String() != set(0, 40).String() || e.Began.IsZero() {
					t.Errorf("epoch is %+v", e)
				}
				var rows, live uint64
				for _, info := range inv.Files {
					rows, live = rows+info.Rows, live+info.Live
				}
				if rows != 40 || live != 40 {
					t.Errorf("files are %+v", inv.Files)
				}
			}
			if after := picture(t, o.Dir); after != before {
				t.Errorf("reading changed\n%sto\n%s", before, after)
			}
		})
	}
}

// TestDamageIsFoundAndPassedOver: what is damaged is named with file and place, and all
// others are read.
func TestDamageIsFoundAndPassedOver(t *testing.T) {
	for _, size := range []int{100, 10_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			o, epoch := filled(t, 12, size)
			for _, id := range []int{4, 9} {
				flip(t, o.Dir, id, size)
			}
			records, bad := found(t, readable(t, o.Dir))
			if len(records) != 10 || len(bad) != 2 {
				t.Fatalf("%d records, %d damaged", len(records), len(bad))
			}
			for i, want := range []uint64{4, 9} {
				if b := bad[i]; b.Key != (buffer.Key{Epoch: epoch, Position: want}) || b.File == "" || b.Offset == 0 || !errors.Is(b.Err, buffer.ErrDamaged) {
					t.Errorf("damaged is %+v", b)
				}
			}
		})
	}
}

// TestRandomDamageIsNoPanic: whatever is damaged, reading ends and tells, or nothing is
// missing.
func TestRandomDamageIsNoPanic(t *testing.T) {
	o, _ := filled(t, 40, 3000)
	files := append(recordFiles(t, o.Dir), filepath.Join(o.Dir, "chain.db"))
	for _, path := range files {
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(good); at += 509 {
			bad := append([]byte{}, good...)
			bad[at] ^= 0xff
			if at%2 == 1 {
				bad = bad[:at]
			}
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := buffer.OpenFolder(o.Dir)
			if err != nil {
				t.Fatal(err)
			}
			records, told := found(t, f)
			if len(records) < 40 && len(told) == 0 {
				t.Errorf("byte %d of %s: %d records, and nothing is told", at, filepath.Base(path), len(records))
			}
			if _, err := f.Inventory(); err != nil {
				t.Errorf("byte %d of %s: %v", at, filepath.Base(path), err)
			}
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFoldersThatAreNone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, file, filepath.Join(dir, "none")} {
		if _, err := buffer.OpenFolder(path); !errors.Is(err, buffer.ErrNoBuffer) {
			t.Errorf("%s: %v", path, err)
		}
	}
	before := picture(t, dir)
	if _, err := buffer.OpenFolder(dir); err == nil || picture(t, dir) != before {
		t.Errorf("an empty folder was changed, %v", err)
	}
}

// TestAFolderInUse: who has it is seen, and a reader keeps nobody out and notices.
func TestAFolderInUse(t *testing.T) {
	o, _ := filled(t, 12, 1000)
	f := readable(t, o.Dir)
	b := open(t, o)
	if _, err := buffer.OpenFolder(o.Dir); !errors.Is(err, buffer.ErrInUse) {
		t.Errorf("while it is open: %v", err)
	}
	if err := f.Records(t.Context(), false, func(buffer.Found) error { return nil }); !errors.Is(err, buffer.ErrChanged) {
		t.Errorf("records: %v", err)
	}
	if _, err := f.Inventory(); !errors.Is(err, buffer.ErrChanged) {
		t.Errorf("inventory: %v", err)
	}
	closeChecked(t, b)
	if err := f.Records(t.Context(), false, func(buffer.Found) error { return nil }); !errors.Is(err, buffer.ErrChanged) {
		t.Errorf("when it is closed again: %v", err)
	}
}

func TestStoredGoesThere(t *testing.T) {
	want := buffer.Stored{
		Key: buffer.Key{Epoch: buffer.Epoch{1, 2}, Position: 77}, Class: buffer.Alarm, Data: payload(3, 500), Label: "press-1",
		Rows: 5, First: 1, Last: 9, Appended: time.Unix(5, 6), OnDisk: true,
	}
	b := buffer.AppendStored(nil, &want)
	got, err := buffer.ParseStored(b)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v", got, err)
	}
	for i := range b {
		b[i] ^= 1
		if _, err := buffer.ParseStored(b); err == nil {
			t.Errorf("byte %d changed and it is taken", i)
		}
		b[i] ^= 1
	}
}

// TestNamesAndCountsMustFit: a sound record under another's name is damage, and so is one
// that is missing where the file counted it.
func TestNamesAndCountsMustFit(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(records *bolt.Bucket, keys [][]byte) error
		good  int
		want  string
	}{
		"name": {func(records *bolt.Bucket, keys [][]byte) error {
			other := bytes.Clone(records.Bucket(keys[1]).Get([]byte("r")))
			return records.Bucket(keys[0]).Put([]byte("r"), other)
		}, 11, "the record is another one, position 1"},
		"count": {func(records *bolt.Bucket, keys [][]byte) error { return records.DeleteBucket(keys[0]) }, 11, "11 records where 12 were counted"},
		"none": {func(records *bolt.Bucket, keys [][]byte) error {
			for _, k := range keys {
				if err := records.DeleteBucket(k); err != nil {
					return err
				}
			}
			return nil
		}, 0, "no records where 12 were counted"},
		"key": {func(records *bolt.Bucket, _ [][]byte) error {
			_, err := records.CreateBucket([]byte("short"))
			return err
		}, 12, "key 73686f7274"},
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := filled(t, 12, 1000)
			db, err := bolt.Open(recordFiles(t, o.Dir)[0], 0o600, &bolt.Options{PageSize: 4096})
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bolt.Tx) error {
				records, keys := tx.Bucket([]byte("records")), [][]byte{}
				c := records.Cursor()
				for k, _ := c.First(); k != nil; k, _ = c.Next() {
					keys = append(keys, bytes.Clone(k))
				}
				return tc.spoil(records, keys)
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			records, bad := found(t, readable(t, o.Dir))
			if len(records) != tc.good || len(bad) == 0 || !strings.Contains(bad[0].Err.Error(), tc.want) {
				t.Errorf("%d records, damaged %v", len(records), bad)
			}
		})
	}
}
