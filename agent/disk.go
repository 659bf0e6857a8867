package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/state"
	"andon.internal/shared/ops"
)

// diskEvery is how often a data folder that cannot be used is tried again.
const diskEvery = 2 * time.Second

// How long the disk may take at the start, where the buffer may have much to look at, and
// at the end.
const (
	startPatience = 30 * time.Second
	lastPatience  = 10 * time.Second
)

// errStuckDisk is told of a disk that neither takes what is written nor refuses it.
var errStuckDisk = errors.New("the disk does not answer")

// stuckAfter is how long changes of the state wait to be written until that is told.
const stuckAfter = 5 * time.Second

// disk says whether the data folder is in use, and why not. The line runs without it.
type disk struct {
	mu    sync.Mutex
	fault error // nil while it is in use
	since time.Time

	taking sync.Mutex     // held by whoever takes it into use; over what follows
	first  <-chan attempt // what comes of the start's attempt, which took too long; else nil
	loaded bool           // what the state has of the start before is known
}

// attempt is what came of opening what lies in the data folder.
type attempt struct {
	buffer *buffer.Buffer
	err    error
}

func (d *disk) set(fault error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if fault != nil && d.fault == nil {
		d.since = time.Now()
	}
	d.fault = fault
}

func (d *disk) now() (since time.Time, fault error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.since, d.fault
}

// openDisk opens what lies in the data folder. Where that cannot be used the agent starts
// regardless, with all of it in memory; the error is only what somebody got wrong: see
// mistaken.
func (a *Agent) openDisk() error {
	a.state = state.NewFront(state.FrontOptions{Logger: a.log})
	a.steps.add("close state", a.state.Close)
	options := a.bufferOptions()
	got := a.openFirst(options)
	fault := got.err
	if mistaken(fault) {
		return a.hintData(fault)
	}
	a.buffer, a.disk.loaded = got.buffer, a.state.Attached()
	var err error
	if a.card, err = openCard(a.state, int64(a.cfg.Buffer.Endurance)); err != nil {
		a.log.Warn("counts of what was written to the disk begin anew", "error", err)
	}
	a.card.register(a.cfg.Registry)
	a.steps.add("note what was written", func() error { return exceptNoDisk(a.card.save()) })
	if fault != nil {
		if a.buffer, err = buffer.OpenDetached(options, fault); err != nil {
			return err
		}
		a.disk.set(fault)
		a.log.Error("no usable disk: readings are kept in memory only, as many as fit, until the data folder can be used",
			"data", string(a.cfg.Data), "error", fault, "cure", a.cure(fault))
	}
	a.steps.add("close buffer", a.buffer.Close)
	a.card.counts(a.buffer)
	return nil
}

// openFirst opens state and buffer, as long as the disk lets it within its time.
func (a *Agent) openFirst(o buffer.Options) attempt {
	done := make(chan attempt, 1)
	go func() {
		var got attempt
		if got.err = a.takeState(); got.err == nil {
			got.buffer, got.err = buffer.Open(o)
		}
		done <- got
	}()
	late := time.NewTimer(cmp.Or(a.cfg.diskPatience, startPatience))
	defer late.Stop()
	select {
	case got := <-done:
		return got
	case <-late.C:
		a.disk.first = done
		return attempt{err: errStuckDisk}
	}
}

// endFirst ends the attempt that took too long, when it has: what it opened is closed, to be
// opened behind what was begun meanwhile.
func (a *Agent) endFirst() error {
	if a.disk.first == nil {
		return nil
	}
	select {
	case got := <-a.disk.first:
		a.disk.first = nil
		if got.buffer != nil {
			return got.buffer.Close()
		}
		return nil // it is tried anew
	default:
		return errStuckDisk
	}
}

// takeState opens the state and makes the data folder that of the cell.
func (a *Agent) takeState() error {
	s, err := a.openState(filepath.Join(string(a.cfg.Data), "state.db"))
	if err != nil {
		return err
	}
	if err = a.claim(s); err == nil {
		err = a.state.Attach(s)
	}
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

// mistaken reports whether an error is of somebody who runs the wrong agent here, and not
// of a disk: it will not go away by itself, and going on could spoil what others have.
func mistaken(err error) bool {
	var usage interface{ Usage() bool }
	return errors.Is(err, state.ErrInUse) || errors.Is(err, buffer.ErrInUse) || errors.Is(err, buffer.ErrNewer) ||
		errors.As(err, &usage) && usage.Usage()
}

// watchDisk takes the data folder into use as soon as it can be.
func (a *Agent) watchDisk(ctx context.Context) error {
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		since, fault := a.disk.now()
		if fault == nil {
			return nil
		}
		err := a.attachDisk()
		a.disk.set(err)
		switch {
		case err == nil:
			a.log.Info("the data folder is in use now", "data", string(a.cfg.Data), "after", time.Since(since).Round(time.Second))
			a.endForgotten(ctx)
		case err.Error() != told:
			told = err.Error()
			a.log.Error("the data folder cannot be used yet", "error", err, "cure", a.cure(err))
		}
	}
}

// lastTry is before the end: what cannot be written then is lost, which the buffer says.
func (a *Agent) lastTry() error {
	if _, fault := a.disk.now(); fault == nil {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- a.attachDisk() }()
	late := time.NewTimer(lastPatience)
	defer late.Stop()
	select {
	case err := <-done:
		a.disk.set(err)
	case <-late.C:
	}
	return nil
}

// attachDisk takes the data folder into use where it is not. The state comes first: it says
// whose folder it is, and a source's cursor needs the profiles in it.
func (a *Agent) attachDisk() error {
	a.disk.taking.Lock()
	defer a.disk.taking.Unlock()
	if err := a.endFirst(); err != nil {
		return err
	}
	if !a.state.Attached() {
		if err := a.takeState(); err != nil {
			return err
		}
	}
	if !a.disk.loaded {
		a.disk.loaded = true
		if err := a.card.load(); err != nil {
			a.log.Warn("counts of what was written to the disk begin anew", "error", err)
		}
		if err := a.roster.Reload(a.liveSources()...); err != nil {
			a.log.Error("units on test of the start before are not known", "error", err)
		}
	}
	return a.buffer.Attach()
}

// liveSources returns the names of the sources that have begun anew without a disk. One
// that can be read again waits for it.
func (a *Agent) liveSources() []string {
	var names []string
	for i := range a.cfg.Sources {
		if s := &a.cfg.Sources[i]; !s.rereadable() {
			names = append(names, s.Name)
		}
	}
	return names
}

// diskFault says why the data folder is not in use, or does not take what is written.
func (a *Agent) diskFault() error {
	if since, fault := a.disk.now(); fault != nil {
		return fmt.Errorf("no usable disk since %s: %w; readings are kept in memory only: %s",
			since.UTC().Format(time.RFC3339), fault, a.cure(fault))
	}
	since, err := a.state.Behind()
	switch {
	case since.IsZero() || time.Since(since) < stuckAfter:
		return nil
	case err == nil:
		err = errStuckDisk
	}
	return fmt.Errorf("write the state, since %s: %w; units that come and go are known in memory only", since.UTC().Format(time.RFC3339), err)
}

// exceptNoDisk leaves out that there is no disk: that has been told.
func exceptNoDisk(err error) error {
	if errors.Is(err, state.ErrNoStore) {
		return nil
	}
	return err
}

// cure says what an operator can do.
func (a *Agent) cure(err error) string {
	data := string(a.cfg.Data)
	var hint interface{ Hint() string }
	switch {
	case errors.As(err, &hint) && hint.Hint() != "":
		return hint.Hint()
	case errors.Is(err, state.ErrInUse), errors.Is(err, buffer.ErrInUse):
		return "another andon-agent runs with the data folder " + data + "; stop it, or give this one a folder of its own"
	case errors.Is(err, syscall.EROFS):
		return "the file system of " + data + " is read-only: look in the kernel's log for a failing disk, and mount it writable"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make space where " + data + " lies"
	case errors.Is(err, syscall.EIO):
		return "the disk of " + data + " fails: replace it"
	}
	return "the data folder " + data + " must be writable by this user, on a local disk"
}

// hintData adds the cure to an error that ends the start.
func (a *Agent) hintData(err error) error {
	var usage interface{ Usage() bool }
	if errors.As(err, &usage) || errors.Is(err, buffer.ErrNewer) {
		return err
	}
	return ops.Hint(err, a.cure(err))
}
