package pgserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// owner is the user that the server runs as, because PostgreSQL refuses root. A
// nil owner is ourselves, and its methods do nothing special.
type owner struct {
	name     string
	uid, gid uint32
}

// findOwner returns nil unless we are root: then the user postgres, or else nobody.
func findOwner() (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &owner{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("postgres does not run as root, and there is neither a user postgres nor nobody: run as another user")
}

// command is exec.CommandContext as the owner.
func (o *owner) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	if o != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: o.uid, Gid: o.gid, Groups: []uint32{o.gid}}}
	}
	return cmd
}

// give makes path the owner's.
func (o *owner) give(path string) error {
	if o == nil {
		return nil
	}
	if err := os.Chown(path, int(o.uid), int(o.gid)); err != nil {
		return fmt.Errorf("prepare postgres: %w", err)
	}
	return nil
}

// take makes dir the owner's and checks that the owner can reach it. Folders
// within the temporary one are opened for passing through; others are not ours to
// change.
func (o *owner) take(dir string) error {
	if o == nil {
		return nil
	}
	if err := o.give(dir); err != nil {
		return err
	}
	temp := filepath.Clean(os.TempDir())
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		fi, err := os.Stat(parent)
		if err != nil {
			return fmt.Errorf("prepare postgres: %w", err)
		}
		if !o.passes(fi) {
			if !strings.HasPrefix(parent, temp+string(filepath.Separator)) {
				return fmt.Errorf("prepare postgres in %s: user %s may not pass through %s; choose another folder or run chmod o+x %s",
					dir, o.name, parent, parent)
			}
			if err := os.Chmod(parent, fi.Mode().Perm()|0o001); err != nil {
				return fmt.Errorf("prepare postgres: %w", err)
			}
		}
		if parent == filepath.Dir(parent) {
			return nil
		}
	}
}

// passes reports whether the owner may pass through a folder.
func (o *owner) passes(fi os.FileInfo) bool {
	perm := fi.Mode().Perm()
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		switch {
		case st.Uid == o.uid:
			return perm&0o100 != 0
		case st.Gid == o.gid:
			return perm&0o010 != 0
		}
	}
	return perm&0o001 != 0
}
