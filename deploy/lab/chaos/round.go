package chaos

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// Round is what one round found.
type Round struct {
	Seed        uint64        `json:"seed"`
	Round       int           `json:"round"`
	FS          string        `json:"fs"`
	Write       string        `json:"write,omitempty"` // of the buffers: behind, ahead or both
	Faults      []string      `json:"faults"`
	Readings    int           `json:"readings"` // stored in it
	Safe        int           `json:"safe"`     // that the live cell declared safe, since its world began
	Told        int           `json:"told"`     // of these, told as lost
	Repeats     uint64        `json:"repeats"`  // records that came once more, and were recognised
	Lost        int           `json:"lost"`
	Doubled     int           `json:"doubled"`
	Unexplained int           `json:"unexplained"`
	Recovery    time.Duration `json:"recovery_ns"`    // from the last cure until nothing older is held anywhere
	Cuts        *Cuts         `json:"cuts,omitempty"` // of a round of power cuts
	Findings    []string      `json:"findings,omitempty"`
}

// OK reports whether nothing is wrong.
func (r *Round) OK() bool { return r.Lost == 0 && r.Doubled == 0 && r.Unexplained == 0 }

func (r *Round) unexplained(format string, args ...any) {
	r.Unexplained++
	r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
}

// patience is how long the plant may take to recover.
const patience = 90 * time.Second

// shown is how many findings of a round are printed.
const shown = 8

// event is a strike or a cure that is due.
type event struct {
	at time.Duration
	do func() error
}

// play strikes, cures, waits until the plant has recovered, and checks.
func (r *rig) play(ctx context.Context, strikes []Strike) (*Round, error) {
	out := &Round{Seed: r.opt.Seed, Round: r.round, FS: r.opt.FS, Write: r.opt.Write}
	r.after, r.lacking, r.cloning = nil, false, false
	cures := map[int]cure{}
	defer func() { // an interrupt: nothing may stay broken
		for _, c := range cures {
			_ = c(context.WithoutCancel(ctx))
		}
	}()
	var events []event
	for n, s := range strikes {
		out.Faults = append(out.Faults, s.Fault.Name)
		for _, reason := range s.Fault.Losses {
			r.excused[reason] = true
		}
		events = append(events, event{s.At, func() error {
			r.say("strike %-18s %-10s for %v", s.Fault.Name, s.Target, s.Hold)
			if s.Target == dynoCell && slices.Contains(holdsUp, s.Fault.Name) {
				r.heldUp = time.Now().Add(s.Hold)
			}
			c, err := s.Fault.strike(ctx, r, s.Target)
			if c != nil {
				cures[n] = c
			}
			if err != nil && s.Fault.Name == "postgres-ddl" || s.Fault.Name == "postgres-reader" && err != nil {
				r.say("%-25s the database cannot be asked: %v", s.Fault.Name, err)
				return nil
			}
			return err
		}}, event{s.At + s.Hold, func() error {
			c := cures[n]
			if c == nil {
				return nil
			}
			delete(cures, n)
			r.say("cure   %-18s %s", s.Fault.Name, s.Target)
			return c(ctx)
		}})
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	begun := time.Now()
	for _, e := range events {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Until(begun.Add(e.at))):
		}
		if err := e.do(); err != nil {
			return nil, fmt.Errorf("round %d: %w", r.round, err)
		}
	}
	return r.conclude(ctx, out)
}

// conclude waits until the plant has recovered, and checks.
func (r *rig) conclude(ctx context.Context, out *Round) (*Round, error) {
	for _, name := range processes {
		if err := r.start(ctx, name); err != nil {
			return nil, err
		}
	}
	healed := time.Now()
	r.say("all is whole")
	if err := r.await(ctx, out, healed); err != nil {
		return nil, err
	}
	for _, look := range r.after {
		if err := look(ctx, out); err != nil {
			return nil, fmt.Errorf("round %d: %w", r.round, err)
		}
	}
	if err := r.judge(ctx, out, healed); err != nil {
		return nil, err
	}
	r.say("%d readings, %d declared safe (%d of them told as lost), %d repeats, %d lost, %d doubled, %d unexplained, recovered in %.1f s", out.Readings, out.Safe, out.Told, out.Repeats, out.Lost, out.Doubled, out.Unexplained, out.Recovery.Seconds())
	for n, f := range out.Findings {
		if n == shown {
			r.say("! and %d more", len(out.Findings)-n)
			break
		}
		r.say("! %s", f)
	}
	if !out.OK() && r.opt.Keep != "" {
		return out, r.keep(ctx, out)
	}
	return out, nil
}

// await waits until no cell holds anything from before the last cure, and readings from
// behind it are stored.
func (r *rig) await(ctx context.Context, out *Round, healed time.Time) error {
	for {
		reason := r.recovered(ctx, healed)
		out.Recovery = time.Since(healed)
		if reason == nil {
			return nil
		}
		if out.Recovery > patience {
			out.unexplained("not recovered within %v: %v", patience, reason)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// fill is what is needed of andon-agent status --json.
type fill struct {
	Running bool `json:"running"`
	Link    struct {
		Session   uint64 `json:"session"`
		Connected bool   `json:"connected"`
		Synced    bool   `json:"synced"`
		Hold      bool   `json:"hold"`

		CreditRecords   int64 `json:"credit_records"`
		InFlightRecords int64 `json:"in_flight_records"`
	} `json:"link"`
	Buffer struct {
		Records   uint64  `json:"records"`
		OldestAge float64 `json:"oldest_age_seconds"`
	} `json:"buffer"`
	Troubles []string `json:"troubles"`
	Clock    struct {
		Time time.Time `json:"time"`
	} `json:"clock"`
}

func (r *rig) status(ctx context.Context, cell string) (*fill, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	// Its exit code tells of anything to look at.
	b, err := exec.CommandContext(ctx, filepath.Join(r.f.Bin(), "andon-agent"), "status", "--data", r.data(cell), "--json").Output()
	s := &fill{}
	if json.Unmarshal(b, s) != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(failed.Stderr))
		}
		return nil, fmt.Errorf("%s does not answer: %w", cell, cmp.Or(err, errors.New("no status")))
	}
	return s, nil
}

// recovered returns what is still open.
func (r *rig) recovered(ctx context.Context, healed time.Time) error {
	for _, cell := range cells {
		s, err := r.status(ctx, cell)
		if err != nil {
			return err
		}
		if !s.Link.Connected || !s.Link.Synced || s.Link.Hold {
			return fmt.Errorf("%s is not connected, or the collector cannot store", cell)
		}
		if s.Buffer.Records > 0 && s.Buffer.OldestAge >= time.Since(healed).Seconds() {
			return fmt.Errorf("%s holds %d records, the oldest for %.1f s", cell, s.Buffer.Records, s.Buffer.OldestAge)
		}
	}
	conn, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, table := range []string{"reading_turbofan", "reading_dyno"} {
		var fresh bool // but for those of a clock that was ahead
		if err := conn.QueryRow(ctx, "select coalesce(max(ts) filter (where ts < now() + interval '1 minute') > $1, false) from "+table, healed).Scan(&fresh); err != nil {
			return err
		}
		if !fresh {
			return fmt.Errorf("%s has nothing from behind the last cure", table)
		}
	}
	return nil
}
