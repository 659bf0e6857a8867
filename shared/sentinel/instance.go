package sentinel

import (
	"math"
	"time"

	"andon.internal/shared/telemetry"
)

// condition is where an alarm's condition stands.
type condition uint8

const (
	normal   condition = iota
	pending            // `when` is true, on_delay runs
	active             // raised
	clearing           // clear_when is true, off_delay runs
)

// instance is one rule applied to one unit or node.
type instance struct {
	rule    *compiled
	unit    *unit // or
	node    *node
	figures []bound
	signals []int          // place of each of the rule's signals in the profile, or -1
	env     map[string]any // what is known now

	condition condition
	onset     Identity
	onsetTime int64
	counted   time.Duration // of the delay that runs, while data was fresh
	mark      time.Time     // until when it was counted

	threshold time.Duration // of silence: from what age on `when` is true; 0 = not known
	forPeriod float64       // the period it was found for

	deadline time.Time
	place    int // in the deadlines, or -1
}

// bound is a feature bound to a unit's profile.
type bound struct {
	name       string
	feature    *Feature
	signal     int // place in the profile, or -1
	minSamples int
	figure     figure
}

func newInstance(c *compiled, u *unit) *instance {
	i := &instance{rule: c, unit: u, place: -1, env: map[string]any{}}
	for _, name := range c.signals {
		i.signals = append(i.signals, u.profile.Index(name))
	}
	i.reset()
	return i
}

// reset empties the windows.
func (i *instance) reset() {
	i.figures = i.figures[:0]
	for _, f := range i.rule.features {
		if f.Fn == "silence" {
			continue
		}
		feature := f.Feature
		i.figures = append(i.figures, bound{
			name: f.name, feature: &feature, signal: i.unit.profile.Index(f.Signal),
			minSamples: max(1, f.MinSamples), figure: kinds[f.Fn].make(&feature),
		})
	}
}

func (i *instance) subject() Subject {
	if i.node != nil {
		return Subject{Group: i.node.group, Node: i.node.id}
	}
	return i.unit.subject
}

func (i *instance) key() openKey {
	s := i.subject()
	if i.unit != nil {
		return openKey{i.rule.Alarm, s.Group, "", s.Unit}
	}
	return openKey{i.rule.Alarm, s.Group, s.Node, ""}
}

// sample takes a reading into the windows and brings env up to date.
func (i *instance) sample(r Reading) {
	if i.env == nil {
		return
	}
	for k, name := range i.rule.signals {
		delete(i.env, name)
		if at := i.signals[k]; at >= 0 {
			v := r.Values[at]
			if v.Type() == telemetry.Boolean {
				i.env[name] = v.Bool()
			} else if f, ok := v.Float(); ok {
				i.env[name] = f
			}
		}
	}
	t := float64(r.Time-i.unit.base) / 1e9
	for k := range i.figures {
		b := &i.figures[k]
		if b.signal >= 0 {
			if v, ok := r.Values[b.signal].Float(); ok && !math.IsNaN(v) && !math.IsInf(v, 0) {
				b.figure.add(t, v)
			}
		}
		if v, n := b.figure.value(); n >= b.minSamples {
			i.env[b.name] = v
		} else {
			delete(i.env, b.name)
		}
	}
	delete(i.env, period)
	if i.unit.period > 0 {
		i.env[period] = i.unit.period
	}
}

// elapse counts the time since the last mark towards the delay that runs: at most
// until the data went stale.
func (i *instance) elapse(now time.Time) {
	if i.condition != pending && i.condition != clearing {
		return
	}
	d := now.Sub(i.mark)
	if i.unit != nil && i.rule.silence == "" {
		d = min(d, i.unit.stale())
	}
	i.counted += max(0, d)
	i.mark = now
}

// delay returns the delay that runs.
func (i *instance) delay() time.Duration {
	if i.condition == pending {
		return i.rule.OnDelay
	}
	return i.rule.OffDelay
}

// env for a rule about silence: age is set by whoever asks.
func (i *instance) silenceEnv(age time.Duration) map[string]any {
	env := map[string]any{i.rule.silence: age.Seconds(), period: 1.0}
	if i.unit != nil && i.unit.period > 0 {
		env[period] = i.unit.period
	}
	return env
}

// age returns for how long nothing was heard. An announced death counts as the longest
// silence there is.
func (i *instance) age(now time.Time) time.Duration {
	if i.node != nil {
		if i.node.dead {
			return MaxWindow
		}
		return now.Sub(i.node.heard)
	}
	return now.Sub(i.unit.heard)
}
