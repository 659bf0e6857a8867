package chaos

import (
	"context"
	"fmt"
	"time"
)

// What the agent of simulated dynos counts: readings that its machines had, and those of
// them that are in its buffer.
const (
	hadTotal   = "andon_simulated_readings_total"
	takenTotal = "andon_sampler_readings_total"
)

// behind is by how many readings the sampler may be behind the machines: two seconds.
const behind = 2 * units * float64(time.Second/period)

// keepsPace watches the cell of dynos until the cure, which says whether every reading
// was taken in time. Its agent must run all the time. Of the other cell nothing can be
// late: its source waits.
func (r *rig) keepsPace(ctx context.Context, cell string) (cure, error) {
	nothing := func(context.Context) error { return nil }
	if cell != dynoCell {
		return nothing, nil
	}
	if err := r.answers(ctx, cell); err != nil { // it may have been started a moment ago
		return nil, err
	}
	first, _, err := r.pace(ctx)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	had, worst, unheard := first, 0.0, error(nil)
	look := func(ctx context.Context) {
		now, late, err := r.pace(ctx)
		if err != nil {
			unheard = err
			return
		}
		had, worst, unheard = now, max(worst, late), nil
	}
	return r.meanwhile(ctx, func(ctx context.Context) error {
		for ctx.Err() == nil {
			look(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
		}
		return nil
	}, func(ctx context.Context) error {
		look(ctx)
		took := time.Since(begun)
		r.say("%s had %.0f readings in %v, and was behind by %.0f at worst", cell, had-first, took.Round(time.Millisecond), worst)
		// Stations stand empty between two units.
		if least := took.Seconds() * units * float64(time.Second/period) / 2; worst > behind || had-first < least-behind || unheard != nil {
			r.accuse("%s does not keep its pace: it had %.0f readings in %v, and was behind by %.0f at worst; %v", cell, had-first, took, worst, unheard)
		}
		return nil
	}), nil
}

// pace is how many readings the machines of the cell of dynos had, and how many of them
// are not taken yet.
func (r *rig) pace(ctx context.Context) (had, late float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	m, err := r.f.Metrics(ctx, dynoCell)
	if err != nil {
		return 0, 0, fmt.Errorf("ask %s for its pace: %w", dynoCell, err)
	}
	return m[hadTotal], m[hadTotal] - m[takenTotal], nil
}

// accuse notes what a cure has found, for the end of the round.
func (r *rig) accuse(format string, args ...any) {
	r.accused = append(r.accused, fmt.Sprintf(format, args...))
}
