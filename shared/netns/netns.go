// Package netns lets a thread work in another network namespace.
//
// It stands beside the flow: the lab gives every process of a factory a namespace of its
// own with it, so that cables can be pulled. It needs Linux, and root for a namespace
// other than one's own. Making and removing namespaces is left to ip(8).
package netns

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Enter moves the calling thread into the namespace of a file such as /run/netns/NAME; ""
// is the one where it is. The caller has locked its goroutine to the thread and never
// unlocks it: the thread then ends with the goroutine, and nobody else gets it.
// Processes that it starts are in the namespace, goroutines are not.
func Enter(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	return nil
}

// Do runs do on a thread in the namespace, and returns its error.
func Do(path string, do func() error) error {
	if path == "" {
		return do()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: see Enter
		err := Enter(path)
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

// Dialer returns a function that connects from within the namespace to an address that
// is no name. The connection may be used from anywhere.
func Dialer(path string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		var d net.Dialer
		err = Do(path, func() (err error) {
			conn, err = d.DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
}
