package atomicfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"andon.internal/shared/atomicfile"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "key")
	if err := atomicfile.Prepare(path); err != nil {
		t.Fatal(err)
	}
	crashed, others := filepath.Join(dir, "a", "b", ".new-1"), filepath.Join(dir, "a", "b", ".new-2")
	for _, left := range []string{crashed, others} {
		if err := os.WriteFile(left, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(crashed, old, old); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", "second"} {
		if err := atomicfile.Write(path, 0o640, []byte(want), []byte("\n")); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); string(got) != want+"\n" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode() != 0o640 {
		t.Errorf("%v, %v", fi, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 2 || entries[0].Name() != filepath.Base(others) {
		t.Errorf("%v lie beside it, want the young one alone (%v)", entries, err)
	}
}

// Root's commands leave to the service what they make in its folder.
func TestRootLeavesFilesToTheOwnerOfTheFolder(t *testing.T) {
	dir := t.TempDir()
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	if uid == 0 { // others own what they make in any case
		uid, gid = 4711, 4712
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "new", "key")
	if err := atomicfile.Write(path, 0o600, []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{filepath.Dir(path), path} {
		fi, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if owner := fi.Sys().(*syscall.Stat_t); owner.Uid != uid || owner.Gid != gid {
			t.Errorf("%s belongs to %d:%d", p, owner.Uid, owner.Gid)
		}
	}
}

// A folder that cannot be is an error before anything is used up, and names the place.
func TestPrepareNamesThePlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Prepare(filepath.Join(file, "key")); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v", err)
	}
}
