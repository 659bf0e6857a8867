package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/factory"
	"andon.internal/shared/rules"
)

// AlarmTarget is the p99 to stay below from the deciding moment to the page, in
// milliseconds.
const AlarmTarget = 200

// AlarmReport holds the figures of [Alarms].
type AlarmReport struct {
	Machine Machine        `json:"machine"`
	Short   bool           `json:"short"`
	Loads   []AlarmLatency `json:"loads"`
}

// AlarmLatency is the time from the moment that decides an alarm: the reading that does
// was taken, or, if later, its rule's delay was over. All units of a load are due at
// the same moment, which is harder than a real cell.
type AlarmLatency struct {
	Load
	// Burst: all units were given their fault within a second. Otherwise they came at
	// random moments.
	Burst  bool `json:"burst"`
	Faults int  `json:"faults"` // injected
	// Missed are those whose alarm never reached the page.
	Missed []string `json:"missed,omitempty"`
	// Spread is over how many seconds the deciding moments lie.
	Spread float64 `json:"spread_s"`

	// Received is until the sentinel holds it for raised: the collector had the deciding
	// message, or the delay was over, which is counted from the arrival of the message
	// that began it and so has that message's way in it.
	Received Spread `json:"received"`
	// Shown is from there until the event was received by a client of the page's stream.
	Shown Spread `json:"shown"`
	// Total is both.
	Total Spread `json:"total"`
}

// Met reports whether the latency is within its target. An alarm that was never seen
// is infinitely late.
func (l *AlarmLatency) Met() bool {
	return l.Faults > 0 && len(l.Missed) == 0 && l.Total.P99 < AlarmTarget
}

// alarmLoad is a factory and how it is broken.
type alarmLoad struct {
	Load
	programme time.Duration // of a unit's test
	lives     int           // how many units of each station are broken at random moments, one behind the other
	kinds     []breakage    // once by each of these
	burst     int           // the unit of each station that is broken at once with all others'; 0: none
}

// alarmSeed is that of the machines and of the moments at which they break.
const alarmSeed = 1

func alarmLoads(short bool) []alarmLoad {
	both := []breakage{overpressure, overheating}
	if short {
		return []alarmLoad{
			{Load{Units: 12, Hz: 1}, 32 * time.Second, 1, both, 0},
			{Load{Units: 20, Hz: 10}, 32 * time.Second, 1, []breakage{overpressure}, 1},
		}
	}
	return []alarmLoad{
		{Load{Units: 12, Hz: 1}, 32 * time.Second, 5, both, 0},
		// Stations begin 0.2 s apart, so there are 200 units on test after 40 s.
		{Load{Units: 200, Hz: 10}, 90 * time.Second, 1, both, 2},
	}
}

// within bounds the time that a load takes.
func (l *alarmLoad) within() time.Duration {
	return time.Duration(l.Units)*200*time.Millisecond + time.Duration(max(l.lives, l.burst))*(l.programme+2*time.Second) + time.Minute
}

// Alarms measures from the moment that decides an alarm until its event is at the page,
// on the real binaries and rules, with machines that are broken at random moments.
func Alarms(ctx context.Context, o Options) (*AlarmReport, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &AlarmReport{Short: o.Short}
	r.Machine.read()
	for _, load := range alarmLoads(o.Short) {
		o.Logger.Info("measuring alarms", "units", load.Units, "hz", load.Hz)
		list, err := measureAlarms(ctx, o, load, &r.Machine)
		if err != nil {
			return nil, fmt.Errorf("measure alarms at %d units x %d Hz: %w", load.Units, load.Hz, err)
		}
		r.Loads = append(r.Loads, list...)
	}
	return r, nil
}

// Missed returns how many of all injected faults never reached the page.
func (r *AlarmReport) Missed() (missed, faults int) {
	for i := range r.Loads {
		missed, faults = missed+len(r.Loads[i].Missed), faults+r.Loads[i].Faults
	}
	return missed, faults
}

func measureAlarms(ctx context.Context, o Options, load alarmLoad, m *Machine) (_ []AlarmLatency, err error) {
	ctx, cancel := context.WithTimeout(ctx, load.within())
	defer cancel()
	dir, err := os.MkdirTemp("", "andon-bench-")
	if err != nil {
		return nil, err
	}
	f, err := start(ctx, o, factory.Options{Dir: dir, Cells: []factory.Cell{{Name: cell, Dynos: factory.Dynos{
		Stations: load.Units, Rate: float64(load.Hz), Seed: alarmSeed, Programme: load.programme, Idle: time.Second,
	}}}}, m)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() { err = errors.Join(err, f.Close(false)) }()
	p, err := openPage(ctx, f.Status(ctx).Pages)
	if err != nil {
		return nil, err
	}
	defer p.close()
	b := &breaker{load: load, factory: f, page: p, log: o.Logger}
	faults, err := b.run(ctx)
	if err != nil {
		return nil, err
	}
	o.Logger.Info("all faults are injected", "faults", len(faults))
	shown, err := awaitShown(ctx, p, faults)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, f.DSN())
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := awaitStored(ctx, conn, time.Now()); err != nil {
		return nil, err
	}
	var list []AlarmLatency
	for _, burst := range []bool{false, true} {
		if burst && load.burst == 0 {
			continue
		}
		l := AlarmLatency{Load: load.Load, Burst: burst}
		if err := l.gather(ctx, conn, faults, shown); err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
}

// gather fills in the figures of the faults that came in a burst, or of the others.
func (l *AlarmLatency) gather(ctx context.Context, conn *pgx.Conn, faults []fault, shown map[alarmKey]shownAlarm) error {
	delays := map[string]time.Duration{}
	for _, r := range rules.Shipped().List() {
		delays[r.Alarm] = r.OnDelay
	}
	var received, rest, total []time.Duration
	var moments []time.Time
	for i := range faults {
		x := &faults[i]
		if x.burst != l.Burst {
			continue
		}
		l.Faults++
		s, ok := shown[x.key()]
		if !ok {
			l.Missed = append(l.Missed, fmt.Sprintf("%s of %s at %s", x.kind, x.unit, x.at.Format("15:04:05.000")))
			continue
		}
		if s.RaisedAt.Before(x.at) {
			return fmt.Errorf("alarm %s of %s was raised at %v, before its fault", s.Rule, s.Unit, s.RaisedAt)
		}
		delay, ok := delays[x.rule]
		if !ok {
			return fmt.Errorf("there is no rule %s", x.rule)
		}
		taken, err := takenOf(ctx, conn, x.unit)
		if err != nil {
			return err
		}
		moment, err := decided(delay, taken, s.OnsetAt)
		if err != nil {
			return fmt.Errorf("alarm %s of %s: %w", s.Rule, s.Unit, err)
		}
		if delay > 0 && moment.After(s.RaisedAt) {
			// On its way a pause between two readings became shorter, so less of the
			// delay was held up by it than by the times at which they were taken.
			moment = s.RaisedAt
		}
		if s.RaisedAt.Before(moment) || s.at.Before(s.RaisedAt) {
			return fmt.Errorf("alarm %s of %s was decided at %v, raised at %v and shown at %v: the clocks disagree", s.Rule, s.Unit, moment, s.RaisedAt, s.at)
		}
		moments = append(moments, moment)
		received, rest, total = append(received, s.RaisedAt.Sub(moment)), append(rest, s.at.Sub(s.RaisedAt)), append(total, s.at.Sub(moment))
	}
	l.Received, l.Shown, l.Total = spread(received), spread(rest), spread(total)
	if len(moments) > 0 {
		l.Spread = slices.MaxFunc(moments, time.Time.Compare).Sub(slices.MinFunc(moments, time.Time.Compare)).Seconds()
	}
	return nil
}
