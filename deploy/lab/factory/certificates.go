package factory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Certificates is the folder of the authority and of every process's pair.
func (f *Factory) Certificates() string { return filepath.Join(f.opt.Dir, "certificates") }

// certificate is a process's; the zero one without TLS.
func (f *Factory) certificate(name string) certificate {
	if !f.opt.TLS {
		return certificate{}
	}
	return certificate{f.Certificates(), name}
}

// certify makes an authority and a certificate for each process, with the command that
// a plant would use. A factory that had them keeps them.
func (f *Factory) certify(ctx context.Context) error {
	dir := f.Certificates()
	if _, err := os.Stat(dir); !f.opt.TLS || !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	orders := [][]string{
		{"init", "--name", "lab"},
		{"broker", "--host", f.opt.host(Broker), "--out", dir},
		{"issue", "--collector", Collector, "--out", dir},
	}
	for i := range f.opt.Cells {
		c := &f.opt.Cells[i]
		orders = append(orders, []string{"issue", "--node", c.Name, "--group", c.group(), "--out", dir})
	}
	for _, o := range orders {
		args := append([]string{"ca", o[0], "--dir", dir}, o[1:]...)
		if out, err := exec.CommandContext(ctx, filepath.Join(f.opt.Bin, "andon-broker"), args...).CombinedOutput(); err != nil {
			return fmt.Errorf("andon-broker %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
