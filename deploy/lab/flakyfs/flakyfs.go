// Package flakyfs shows a folder at another place, through a file system whose syncs can
// be made to fail, as those of a dying card do: what was written reads back, and nobody
// knows whether it is on the card.
//
// It stands beside the flow: the chaos rig puts it under a cell. It promises that a sync
// which fails reaches no disk, and that the mount is gone with Unmount. It needs Linux with
// FUSE, and root.
package flakyfs

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// FS is a folder that is shown elsewhere. Its methods are safe for concurrent use.
type FS struct {
	server *fuse.Server
	at     string
	broken atomic.Bool
	failed atomic.Int64
	synced atomic.Int64
}

// Mount shows the folder under at another place, at, which is an empty folder.
func Mount(under, at string) (*FS, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(under, &st); err != nil {
		return nil, fmt.Errorf("show %s: %w", under, err)
	}
	f := &FS{at: at}
	data := &fs.LoopbackRoot{Path: under, Dev: st.Dev}
	root := &node{&fs.LoopbackNode{RootData: data}, f}
	data.RootNode = root
	o := &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "andon-flaky", Name: "andon"}}
	var err error
	if f.server, err = fs.Mount(at, root, o); err != nil {
		return nil, fmt.Errorf("show %s at %s: %w", under, at, err)
	}
	return f, nil
}

// Break has every sync of a file fail with EIO from now on, or none any more.
func (f *FS) Break(broken bool) { f.broken.Store(broken) }

// Failed is how many syncs have failed.
func (f *FS) Failed() int64 { return f.failed.Load() }

// Synced is how many have not.
func (f *FS) Synced() int64 { return f.synced.Load() }

// Unmount ends it. Nobody has a file of it open.
func (f *FS) Unmount() error {
	if err := f.server.Unmount(); err != nil {
		return fmt.Errorf("unmount %s: %w", f.at, err)
	}
	f.server.Wait()
	return nil
}

// node is a file or folder of it.
type node struct {
	*fs.LoopbackNode
	f *FS
}

var (
	_ fs.NodeWrapChilder = (*node)(nil)
	_ fs.NodeFsyncer     = (*node)(nil)
)

// WrapChild makes what is below one of ours too.
func (n *node) WrapChild(_ context.Context, ops fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{ops.(*fs.LoopbackNode), n.f}
}

// Fsync syncs a file, or says that it could not.
func (n *node) Fsync(ctx context.Context, file fs.FileHandle, flags uint32) syscall.Errno {
	if n.f.broken.Load() {
		n.f.failed.Add(1)
		return syscall.EIO
	}
	under, ok := file.(fs.FileFsyncer)
	if !ok {
		return syscall.ENOTSUP
	}
	n.f.synced.Add(1)
	return under.Fsync(ctx, flags)
}
