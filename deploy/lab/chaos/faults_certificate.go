package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// shortLife is how long the certificate is good with which a cell is left alone.
const shortLife = 6 * time.Second

// certificateExpired has a cell go on with a certificate that soon is no longer good, and
// gives it a new one at the cure. Until then it must have said what is wrong.
func certificateExpired(ctx context.Context, r *rig, target string) (cure, error) {
	if err := r.certify(ctx, target, shortLife); err != nil {
		return nil, err
	}
	// A connection shows the certificate of its beginning.
	if err := errors.Join(r.f.Stop(target), r.start(ctx, target)); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		why := r.f.Ready(ctx, target)
		s, err := r.status(ctx, target)
		switch {
		case err != nil:
			return err
		case s.Link.Connected:
			r.finding("%s is connected with a certificate that has expired", target)
		case why == nil || !strings.Contains(why.Error(), "certificate: the certificate expired"):
			r.finding("the certificate of %s has expired, and it says: %v", target, why)
		}
		return r.certify(ctx, target, time.Hour)
	}, nil
}

// finding notes what a fault has found, for the verdict of the round.
func (r *rig) finding(format string, args ...any) {
	r.after = append(r.after, func(_ context.Context, out *Round) error {
		out.unexplained(format, args...)
		return nil
	})
}

// certify puts a new certificate in the place of a cell's.
func (r *rig) certify(ctx context.Context, cell string, life time.Duration) error {
	dir := filepath.Join(r.w.dir, "issued")
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
		return err
	}
	err := run(ctx, filepath.Join(r.f.Bin(), "andon-broker"), "ca", "issue", "--dir", r.f.Certificates(),
		"--node", cell, "--group", groups[cell], "--life", life.String(), "--out", dir)
	if err != nil {
		return err
	}
	for _, suffix := range []string{".key", ".crt"} { // between the two the pair does not fit, and the one before counts
		if err := os.Rename(filepath.Join(dir, cell+suffix), filepath.Join(r.f.Certificates(), cell+suffix)); err != nil {
			return fmt.Errorf("replace certificate: %w", err)
		}
	}
	return nil
}
