// Package screenshots takes the pictures of the documentation: it starts a factory as
// `andon-lab up` does, lets machines, a cable and the database break in a fixed order,
// and photographs the pages on the way.
//
// What the pictures show is the same every time, up to times of day, noise and a second
// here or there.
package screenshots

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"andon.internal/lab/browser"
	"andon.internal/lab/factory"
)

// Options say where the pictures go and from what they are taken. Dir is required.
type Options struct {
	Dir string // made if it is not there; pictures in it are replaced
	// WarmUp is how long the machines run before the first picture, so that there are
	// trends; 13 min when 0. Programmes and pauses are as long as fits to it.
	WarmUp time.Duration
	Bin    string // see factory.FindBinaries
	PgBin  string

	Logger *slog.Logger // hears of what happens; default: none
}

// story is how long it takes from the first picture to the last, and a little more.
const story = 4 * time.Minute

// The machines that break, by their stations, and the cell that is cut off.
const (
	hot     = "dyno-03"
	pressed = "dyno-06"
	idle    = "dyno-08"
	lostOne = "cell-03"
)

// Take starts the factory, takes all pictures and removes the factory.
func Take(ctx context.Context, o Options) (err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.WarmUp = cmp.Or(o.WarmUp, 13*time.Minute)
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of the pictures: %w", err)
	}
	chrome, err := browser.Start(ctx)
	if err != nil {
		return err
	}
	defer chrome.Close()
	dir, err := os.MkdirTemp("", "andon-screenshots-")
	if err != nil {
		return fmt.Errorf("make the folder of the lab: %w", err)
	}
	defer os.RemoveAll(dir) // where the factory has not removed it
	f, err := factory.Start(ctx, o.factory(dir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(false)) }()
	s := &session{options: o, factory: f, chrome: chrome, address: "http://" + f.Status(ctx).Pages}
	return s.run(ctx)
}

// factory says what to start: the cells of `andon-lab up`, each at another part of its
// programme when the pictures are taken.
func (o *Options) factory(dir string) factory.Options {
	fo := factory.Options{Dir: dir, Bin: factory.FindBinaries(o.Bin), PgBin: o.PgBin, Logger: o.Logger}
	for i, c := range []struct {
		group string
		part  float64 // of its programme at which each is at the last picture
	}{
		{"austin-line1", 0.44}, // the forward part
		{"austin-line1", 0.79}, // the reverse part
		{"austin-line2", 0.5},
	} {
		fo.Cells = append(fo.Cells, factory.Cell{
			Name: fmt.Sprintf("cell-%02d", i+1), Group: c.group,
			Dynos: factory.Dynos{
				Stations: 4, First: 1 + 4*i, Rate: 2, Seed: uint64(i + 1),
				Programme: time.Duration(float64(o.WarmUp+story) / c.part).Round(time.Second),
			},
		})
	}
	return fo
}
