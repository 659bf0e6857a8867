package agent

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"andon.internal/agent/buffer"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// ackLimit is how long the collector may be silent: it speaks every second.
const ackLimit = 15 * time.Second

// addChecks tells /readyz and /healthz what to ask.
func (a *Agent) addChecks() {
	a.health.Ready("buffer", a.checkBuffer)
	a.health.Ready("connected", a.checkConnected)
	a.health.Ready("acknowledged", a.checkAcknowledged)
	a.health.Ready("database", a.checkDatabase)
	if a.keeper != nil {
		a.health.Ready("certificate", a.keeper.Check)
	}
	for i, s := range a.samplers {
		a.health.Ready("source "+a.cfg.Sources[i].Name, func() error { return s.State().Err })
	}
	// These ask behind the locks that every reading passes: where one is stuck, so is
	// the answer, and whoever asks times out.
	a.health.Live("responding", func() error {
		_ = a.buffer.Stats()
		_ = a.uplink.Status()
		return nil
	})
}

// checkDisk says what is wrong with the disk, but for its being full.
func (a *Agent) checkDisk() error {
	s := a.buffer.Stats()
	return oneLine(append(bufferFaults(&s), sealed(&s), a.diskFault()))
}

// checkWrites says what keeps readings in memory, where a stop would lose them, or the buffer
// from opening again.
func (a *Agent) checkWrites() error {
	s := a.buffer.Stats()
	return oneLine(append(writeFaults(&s), a.diskFault()))
}

// writeFaults leaves out records in a newer form: the buffer opens with them.
func writeFaults(s *buffer.Stats) []error {
	known := *s
	if errors.Is(s.Unreadable, buffer.ErrNewer) {
		known.Unreadable = nil
	}
	return bufferFaults(&known)
}

// sealed says that the disk failed a while ago; it takes what comes since.
func sealed(s *buffer.Stats) error {
	if s.SealError == nil {
		return nil
	}
	return fmt.Errorf("a record file was given up, and what comes next is in a new one; look at the disk: %w", s.SealError)
}

// bufferFaults says what the buffer meets on its disk now.
func bufferFaults(s *buffer.Stats) (list []error) {
	failed := s.WriteError
	if failed == nil && s.Detached == nil && !s.NoSpace && s.Overdue > stuckAfter { // it hangs, and nobody has changed the state
		failed = fmt.Errorf("%w: what is to be written waits for %s", errStuckDisk, s.Overdue.Round(time.Second))
	}
	if failed != nil {
		list = append(list, fmt.Errorf("write to disk: %w", failed))
	}
	if s.ChainError != nil {
		list = append(list, fmt.Errorf("the buffer's chain of epochs cannot be written; it is tried again: %w", s.ChainError))
	}
	if s.Unreadable != nil {
		list = append(list, fmt.Errorf("%d records of the buffer cannot be read now; they are kept, and read when they can be: %w", s.UnreadableRecords, s.Unreadable))
	}
	return list
}

// oneLine joins errors, of which some may be nil, in one line.
func oneLine(list []error) (all error) {
	for _, err := range list {
		switch {
		case err == nil:
		case all == nil:
			all = err
		default:
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	return all
}

func (a *Agent) checkBuffer() error {
	if err := a.checkDisk(); err != nil {
		return err
	}
	s := a.buffer.Stats()
	if s.NoSpace {
		return fmt.Errorf("no space left on the disk of %s, and %d bytes of max_disk are not used: make space; until then policy %s applies to what the files have",
			a.cfg.Data, s.DiskLimit-s.DiskBytes, a.cfg.Buffer.Policy)
	}
	if s.InPlace > 0 {
		return fmt.Errorf("%d damaged record files can be neither salvaged nor set aside: look at the disk of %s and its rights, then restart the agent; andon-agent buffer ls names them", s.InPlace, a.cfg.Data)
	}
	if s.Full {
		return fmt.Errorf("full: %d bytes of %d on disk; sources that can be read again wait, of the others is lost what policy %s says",
			s.DiskBytes, s.DiskLimit, a.cfg.Buffer.Policy)
	}
	return nil
}

func (a *Agent) checkConnected() error {
	s := a.uplink.Status()
	switch {
	case s.Connected:
		return nil
	case s.Waiting:
		return fmt.Errorf("connected, and waiting for the primary host %s", a.cfg.MQTT.PrimaryHost)
	case s.Error == "":
		return errors.New("connecting")
	}
	return errors.New(s.Error)
}

func (a *Agent) checkAcknowledged() error {
	heard := a.uplink.Status().LastHeard
	if heard.IsZero() {
		return errors.New("nothing was heard from a collector yet")
	}
	if age := time.Since(heard); age > ackLimit {
		return fmt.Errorf("nothing was heard from the collector for %v", age.Round(time.Second))
	}
	return nil
}

func (a *Agent) checkDatabase() error {
	if s := a.uplink.Status(); s.Hold {
		return fmt.Errorf("%s, for %v; readings are kept here", s.HoldWhy, time.Since(s.HoldSince).Round(time.Second))
	}
	return nil
}

// year2020 in unix ns: a wall clock before it was never set.
const year2020 = 1577836800e9

// maxFault is how many bytes of a fault a heartbeat tells.
const maxFault = 300

func clipped(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}

// wall is the wall clock.
func (a *Agent) wall() time.Time { return time.Unix(0, a.cfg.Clock().Wall) }

// heartbeat fills in what the uplink does not know of the machine.
func (a *Agent) heartbeat(h *sparkplug.Heartbeat) {
	var fs unix.Statfs_t
	if err := unix.Statfs(string(a.cfg.Data), &fs); err == nil {
		h.DiskFree = fs.Bavail * uint64(fs.Bsize)
	}
	if err := a.checkDisk(); err != nil {
		h.DiskFault = clipped(err.Error(), maxFault)
	}
	if a.cfg.Clock().Wall < year2020 {
		h.Clock = telemetry.TimeUnsynced
	}
}
