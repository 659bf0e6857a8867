// Command build makes the files in dist from those in src: go generate ./web/assets
// in the collector's folder. It needs npm, and the network for the first time.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"andon.internal/collector/web/assets/bundle"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		if err := bundle.Install(dir); err != nil {
			return err
		}
	}
	files, err := bundle.Build(dir)
	if err != nil {
		return err
	}
	dist := filepath.Join(dir, "dist")
	if err := os.RemoveAll(dist); err != nil {
		return err
	}
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dist, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
