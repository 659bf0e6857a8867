package sentinel

import "time"

// step brings an instance to where its predicates and the time put it. For rules
// over signals it is called with the reading that has just come; for silence and for
// deadlines with a zero identity.
func (e *Engine) step(i *instance, now time.Time, id Identity, t int64) {
	when, clear := e.truths(i, now)
	switch i.condition {
	case normal, pending:
		e.toActive(i, now, when, id, t)
	case active, clearing:
		e.toNormal(i, now, clear)
	}
	e.reschedule(i, now)
}

// truths evaluates the instance's predicates.
func (e *Engine) truths(i *instance, now time.Time) (when, clear truth) {
	r := i.rule
	env := i.env
	if r.silence != "" {
		if i.unit != nil && !i.unit.active {
			return no, yes
		}
		env = i.silenceEnv(i.age(now))
	}
	if r.told != "" {
		v, known := i.node.told[r.toldFn]
		if !known {
			return unknown, unknown
		}
		env = map[string]any{r.told: v}
	}
	when = r.when.eval(&e.machine, env)
	switch {
	case r.clear != nil:
		clear = r.clear.eval(&e.machine, env)
	case when == yes:
		clear = no
	case when == no:
		clear = yes
	}
	if r.enable != nil && r.silence == "" && when == yes {
		if enabled := r.enable.eval(&e.machine, env); enabled != yes {
			when = enabled // suppressed by design, or not known to be enabled
		}
	}
	return when, clear
}

func (e *Engine) toActive(i *instance, now time.Time, when truth, id Identity, t int64) {
	if when == no {
		i.condition = normal
		return
	}
	if when == unknown {
		return
	}
	if i.condition == normal {
		i.condition, i.counted, i.mark = pending, 0, now
		i.onset, i.onsetTime = id, t
		if i.rule.silence != "" && i.unit != nil {
			i.onset, i.onsetTime = i.unit.last, i.unit.lastTime
		}
	}
	if i.counted >= i.rule.OnDelay && !e.suppressed(i) {
		i.condition = active
		e.open[i.key()] = i
		e.tell(Raised, i, now)
	}
}

func (e *Engine) toNormal(i *instance, now time.Time, clear truth) {
	if clear == no {
		i.condition = active
		return
	}
	if clear == unknown {
		return
	}
	if i.condition == active {
		i.condition, i.counted, i.mark = clearing, 0, now
	}
	if i.counted >= i.rule.OffDelay {
		i.condition = normal
		delete(e.open, i.key())
		e.tell(Cleared, i, now)
		e.release(i, now)
	}
}

// end closes an instance whose unit left the test.
func (e *Engine) end(i *instance, now time.Time) {
	e.due.remove(i)
	if i.condition >= active {
		delete(e.open, i.key())
		e.tell(Ended, i, now)
	}
	i.condition = normal
}

// suppressed reports whether an alarm that stands above this one is active.
func (e *Engine) suppressed(i *instance) bool {
	s := i.subject()
	for _, name := range i.rule.SuppressedBy {
		if e.open[openKey{name, s.Group, s.Node, ""}] != nil || (s.Unit != "" && e.open[openKey{name, s.Group, "", s.Unit}] != nil) {
			return true
		}
	}
	return false
}

// release lets the alarms beneath one that cleared count their silence from now: the
// node is back, and its units get their time to speak.
func (e *Engine) release(above *instance, now time.Time) {
	if above.node == nil {
		return
	}
	for _, u := range e.units {
		if u.node != above.node {
			continue
		}
		u.heard = now
		e.rearm(u.instances, now)
	}
}

// rearm takes back what the silence rules among a list were about to raise, once their
// silence counts from now.
func (e *Engine) rearm(list []*instance, now time.Time) {
	for _, i := range list {
		if i.rule.silence != "" && i.condition == pending {
			i.condition = normal
		}
	}
	e.schedule(list, now)
}

func (e *Engine) tell(k Kind, i *instance, now time.Time) {
	t := Transition{
		Kind: k, Rule: &i.rule.Rule, Subject: i.subject(),
		Onset: i.onset, OnsetTime: i.onsetTime, At: now,
	}
	for _, b := range i.figures {
		if v, ok := i.env[b.name].(float64); ok {
			t.Figures = append(t.Figures, Figure{b.name, v, unitOf(b.feature, i.unit.profile)})
		}
	}
	// Of an announced death there is no silence to tell: it was decided at once.
	if i.rule.silence != "" && (i.node == nil || !i.node.dead) {
		t.Figures = append(t.Figures, Figure{i.rule.silence, i.age(now).Seconds(), "s"})
	}
	if r := i.rule; r.told != "" {
		if v, known := i.node.told[r.toldFn]; known {
			t.Figures = append(t.Figures, Figure{r.told, v, toldUnits[r.toldFn]})
		}
	}
	e.out = append(e.out, t)
}
