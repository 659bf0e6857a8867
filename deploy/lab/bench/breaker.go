package bench

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"andon.internal/lab/factory"
)

// breakage is a fault of a simulated machine and the shipped rule that must tell it.
// The rule needs a machine that is driven, or under load: until which part of the
// programme it is, and within what time the fault then makes the rule true at any
// moment of any machine.
type breakage struct {
	kind, rule string
	until      float64
	takes      time.Duration
}

var (
	overpressure = breakage{"overpressure", "sustained-overpressure", 0.80, 17 * time.Second}
	overheating  = breakage{"thermal-runaway", "thermal-runaway", 0.86, 21 * time.Second}
)

// latest is the age of a unit at which the fault must come at the latest.
func (k *breakage) latest(programme time.Duration) time.Duration {
	return time.Duration(k.until*float64(programme)) - k.takes
}

// fault is a fault that was injected.
type fault struct {
	*breakage
	unit  string
	at    time.Time // before it was asked for
	burst bool
}

func (x *fault) key() alarmKey { return alarmKey{x.rule, x.unit} }

// breaker injects the faults of a load: into units at random moments of their tests,
// and into all units within a second.
type breaker struct {
	load    alarmLoad
	factory *factory.Factory
	page    *page
	log     *slog.Logger
	stop    context.CancelCauseFunc

	at     sync.WaitGroup
	mu     sync.Mutex
	faults []fault
}

// run returns the faults that were injected, when all of them were.
func (b *breaker) run(ctx context.Context) ([]fault, error) {
	ctx, b.stop = context.WithCancelCause(ctx)
	defer b.stop(nil)
	err := b.follow(ctx)
	if err != nil {
		b.stop(err)
	}
	b.at.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.faults, nil
}

// follow plans the faults of units as they come on test. It begins when all stations
// have one, so that the load is whole.
func (b *breaker) follow(ctx context.Context) error {
	planned := map[string]bool{}
	whole, burst := false, b.load.burst == 0
	for len(planned) < b.load.lives*b.load.Units || !burst {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d units were broken: %w", len(planned), b.load.lives*b.load.Units, context.Cause(ctx))
		case <-b.page.changed:
		}
		births, err := b.page.births()
		if err != nil {
			return err
		}
		if !whole && len(births) == b.load.Units {
			whole = true
			b.log.Info("all units are on test", "units", b.load.Units)
		}
		if !whole {
			continue
		}
		alike := 0 // units of the life in which all break at once
		for unit, born := range births {
			life, err := lifeOf(unit)
			if err != nil {
				return err
			}
			if life == b.load.burst {
				alike++
			}
			if life <= b.load.lives && !planned[unit] {
				planned[unit] = true
				b.plan(ctx, unit, born)
			}
		}
		if !burst && alike == b.load.Units {
			burst = true
			b.breakAll(ctx, births)
		}
	}
	return nil
}

// lifeOf returns the place of a unit in the row of its station's, from 1.
func lifeOf(unit string) (int, error) {
	n, err := strconv.Atoi(unit[strings.LastIndexByte(unit, '-')+1:])
	if err != nil {
		return 0, fmt.Errorf("the name of unit %s does not end in its number", unit)
	}
	return n, nil
}

// youngest is the age from which on a unit is broken.
const youngest = time.Second

// plan breaks a unit by each kind of fault that there is time for.
func (b *breaker) plan(ctx context.Context, unit string, born time.Time) {
	from := born.Add(youngest)
	if now := time.Now(); now.After(from) {
		from = now
	}
	for i, moment := range b.load.moments(unit, born, from) {
		if moment.IsZero() {
			continue
		}
		b.at.Go(func() {
			timer := time.NewTimer(time.Until(moment))
			defer timer.Stop()
			select {
			case <-ctx.Done():
			case <-timer.C:
				b.inject(ctx, &b.load.kinds[i], unit, false)
			}
		})
	}
}

// moments returns when a unit is broken by each kind, not before from; zero where there
// is no time for it. They depend on nothing but the seed and the time that there is. A
// motor that overheats burns out, in 19 s or more, and is driven no more. Pressure takes 17 s
// to be told, so it must not come behind the heat: kinds are in their order.
func (l *alarmLoad) moments(unit string, born, from time.Time) []time.Time {
	out := make([]time.Time, len(l.kinds))
	for i := range l.kinds {
		k := &l.kinds[i]
		to := born.Add(k.latest(l.programme))
		if i+1 < len(l.kinds) { // leave room for the next, where there is some
			if room := born.Add(l.kinds[i+1].latest(l.programme)); room.After(from) && room.Before(to) {
				to = room
			}
		}
		if to.Before(from) {
			continue
		}
		h := fnv.New64a()
		h.Write([]byte(unit + k.kind))
		rng := rand.New(rand.NewPCG(alarmSeed, h.Sum64()))
		out[i] = from.Add(time.Duration(rng.Float64() * float64(to.Sub(from))))
		from = out[i]
	}
	return out
}

// burstWorkers bounds the requests of a burst that are under way at once.
const burstWorkers = 4

// breakAll breaks all units that have the time for it, as fast as can be.
func (b *breaker) breakAll(ctx context.Context, births map[string]time.Time) {
	units := make(chan string, len(births))
	for unit, born := range births {
		if time.Since(born) < overheating.latest(b.load.programme) {
			units <- unit
		}
	}
	n := len(units)
	close(units)
	b.at.Go(func() {
		begun := time.Now()
		var all sync.WaitGroup
		for range burstWorkers {
			all.Go(func() {
				for unit := range units {
					b.inject(ctx, &overheating, unit, true)
				}
			})
		}
		all.Wait()
		b.log.Info("units are broken at once", "units", n, "within", time.Since(begun).Round(time.Millisecond))
	})
}

func (b *breaker) inject(ctx context.Context, k *breakage, unit string, burst bool) {
	x := fault{k, unit, time.Now(), burst}
	if err := b.factory.Inject(ctx, unit, factory.Fault{Kind: k.kind}); err != nil {
		b.stop(err)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.faults = append(b.faults, x); len(b.faults)%progressEvery == 0 {
		b.log.Info("faults are injected", "faults", len(b.faults))
	}
}

// progressEvery is after how many faults the log hears of it.
const progressEvery = 40

// awaitShown waits until the page has shown an alarm of every fault, or until the last
// of them has had more than the time that it takes. It returns what was shown.
func awaitShown(ctx context.Context, p *page, faults []fault) (map[alarmKey]shownAlarm, error) {
	var last time.Time
	for i := range faults {
		if end := faults[i].at.Add(faults[i].takes); end.After(last) {
			last = end
		}
	}
	ctx, cancel := context.WithDeadlineCause(ctx, last.Add(patience), errPatience)
	defer cancel()
	for {
		shown, err := p.shown()
		if err != nil {
			return nil, err
		}
		missing := 0
		for i := range faults {
			if _, ok := shown[faults[i].key()]; !ok {
				missing++
			}
		}
		if missing == 0 {
			return shown, nil
		}
		select {
		case <-p.changed:
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errPatience) {
				return shown, nil
			}
			return nil, context.Cause(ctx)
		}
	}
}

// patience is how long beyond its time an alarm is waited for, before it is missed.
const patience = 10 * time.Second

var errPatience = errors.New("the time of the last alarm is over")
