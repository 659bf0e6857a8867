package sentinel

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon.internal/shared/telemetry"
)

// figure is one feature of one unit. Times are the readings' own, in seconds from
// some fixed moment, and never go back.
type figure interface {
	// add takes a sample.
	add(t, v float64)
	// value returns the feature, as of the last sample, and how many samples it
	// rests on.
	value() (v float64, samples int)
}

// kind is what a function needs in its feature.
type kind struct {
	signal, window, tau, test, of bool
	make                          func(f *Feature) figure // nil for silence and what is told of a node
}

var kinds = map[string]kind{
	"last":      {signal: true, make: func(*Feature) figure { return &last{} }},
	"avg":       {signal: true, window: true, make: func(f *Feature) figure { return &avg{window: newWindow(f.Window)} }},
	"min":       {signal: true, window: true, make: func(f *Feature) figure { return &extreme{window: newWindow(f.Window), sign: 1} }},
	"max":       {signal: true, window: true, make: func(f *Feature) figure { return &extreme{window: newWindow(f.Window), sign: -1} }},
	"ewma":      {signal: true, tau: true, make: func(f *Feature) figure { return &ewma{tau: f.Tau.Seconds()} }},
	"slope":     {signal: true, window: true, make: newSlope},
	"frac_true": {signal: true, window: true, test: true, make: newFracTrue},
	"silence":   {of: true},
	"skew":      {}, // s: see Engine.Clock
	"disk":      {}, // 1 while there is something wrong: see Engine.Disk
}

func kindNames() string {
	names := make([]string, 0, len(kinds))
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// last is the latest value.
type last struct {
	v float64
	n int
}

func (l *last) add(_, v float64)      { l.v, l.n = v, 1 }
func (l *last) value() (float64, int) { return l.v, l.n }

// ewma is an exponentially weighted average for samples at uneven times: a sample
// that came dt after the one before has the weight 1-exp(-dt/tau).
type ewma struct {
	tau, at, v float64
	n          int
}

func (e *ewma) add(t, v float64) {
	if e.n == 0 {
		e.v = v
	} else {
		e.v += (v - e.v) * -math.Expm1(-(t-e.at)/e.tau)
	}
	e.at, e.n = t, min(e.n+1, MaxSamples)
}

func (e *ewma) value() (float64, int) { return e.v, e.n }

// avg is the mean of the samples in the window. The sum is made anew whenever the
// window has turned over once, so that rounding does not add up over months.
type avg struct {
	window
	sum   float64
	turns int
}

func (a *avg) add(t, v float64) {
	a.sum += v
	a.push(t, v, func(s sample) { a.sum -= s.v })
	if a.turns++; a.turns >= a.len() {
		a.turns, a.sum = 0, 0
		for i := range a.len() {
			a.sum += a.at(i).v
		}
	}
}

func (a *avg) value() (float64, int) { return a.sum / float64(a.len()), a.len() }

// extreme is the smallest sample in the window (sign 1) or the largest (sign -1):
// a queue whose samples rise, so the first is the extreme. samples counts those in
// the window, also those that the queue has left out.
type extreme struct {
	window         // the times and values of all samples
	sign   float64 // 1 for min, -1 for max
	queue  []sample
}

func (e *extreme) add(t, v float64) {
	e.push(t, v, func(sample) {})
	for n := len(e.queue); n > 0 && e.sign*e.queue[n-1].v >= e.sign*v; n-- {
		e.queue = e.queue[:n-1]
	}
	e.queue = append(e.queue, sample{t, v})
	oldest := e.at(0).t
	for len(e.queue) > 0 && e.queue[0].t < oldest {
		e.queue = slices.Delete(e.queue, 0, 1)
	}
}

func (e *extreme) value() (float64, int) {
	if len(e.queue) == 0 {
		return 0, 0
	}
	return e.queue[0].v, e.len()
}

// slope is the slope of the least-squares line through the samples in the window,
// per `per` seconds. Its sums are kept relative to a sample of the window and made
// anew whenever the window has turned over once, so it is as exact after a year as
// after a minute.
type slope struct {
	window
	per            float64
	ref            sample
	st, sv, tt, tv float64 // sums of t, v, t*t, t*v relative to ref
	turns          int
}

func newSlope(f *Feature) figure {
	per := f.Per.Seconds()
	if per == 0 {
		per = 1
	}
	return &slope{window: newWindow(f.Window), per: per}
}

func (s *slope) add(t, v float64) {
	s.sum(sample{t, v}, 1)
	s.push(t, v, func(old sample) { s.sum(old, -1) })
	if s.turns++; s.turns >= s.len() {
		s.turns, s.ref = 0, s.at(s.len()-1)
		s.st, s.sv, s.tt, s.tv = 0, 0, 0, 0
		for i := range s.len() {
			s.sum(s.at(i), 1)
		}
	}
}

func (s *slope) sum(p sample, sign float64) {
	t, v := p.t-s.ref.t, p.v-s.ref.v
	s.st += sign * t
	s.sv += sign * v
	s.tt += sign * t * t
	s.tv += sign * t * v
}

func (s *slope) value() (float64, int) {
	n := float64(s.len())
	d := n*s.tt - s.st*s.st
	if s.len() < 2 || d <= 0 {
		return 0, 0 // a single moment has no slope
	}
	return (n*s.tv - s.st*s.sv) / d * s.per, s.len()
}

// fracTrue is the part of the samples in the window that pass the test, 0 to 1.
type fracTrue struct {
	window
	test func(float64) bool
	yes  int
}

func newFracTrue(f *Feature) figure {
	test, err := parseTest(f.Test)
	if err != nil {
		panic(err) // Check has read it before
	}
	return &fracTrue{window: newWindow(f.Window), test: test}
}

func (f *fracTrue) add(t, v float64) {
	passed := 0.0
	if f.test(v) {
		passed = 1
		f.yes++
	}
	f.push(t, passed, func(s sample) { f.yes -= int(s.v) })
}

func (f *fracTrue) value() (float64, int) {
	return float64(f.yes) / float64(f.len()), f.len()
}

// parseTest reads a comparison with a number, such as "> 500".
func parseTest(text string) (func(float64) bool, error) {
	text = strings.TrimSpace(text)
	op := strings.TrimRight(text[:min(2, len(text))], " 0123456789.+-")
	limit, err := strconv.ParseFloat(strings.TrimSpace(text[len(op):]), 64)
	if err == nil {
		switch op {
		case ">":
			return func(v float64) bool { return v > limit }, nil
		case ">=":
			return func(v float64) bool { return v >= limit }, nil
		case "<":
			return func(v float64) bool { return v < limit }, nil
		case "<=":
			return func(v float64) bool { return v <= limit }, nil
		case "==":
			return func(v float64) bool { return v == limit }, nil
		case "!=":
			return func(v float64) bool { return v != limit }, nil
		}
	}
	return nil, fmt.Errorf("test %q must be a comparison with a number, such as \"> 500\"", text)
}

// unitOf returns the engineering unit of a feature's value, such as degC/min of a slope.
func unitOf(f *Feature, p *telemetry.Profile) string {
	i := p.Index(f.Signal)
	if i < 0 || f.Fn == "frac_true" {
		return ""
	}
	unit := p.Signals[i].Unit
	if f.Fn != "slope" {
		return unit
	}
	per := cmp.Or(f.Per, time.Second)
	for _, u := range []struct {
		time time.Duration
		text string
	}{{time.Second, "s"}, {time.Minute, "min"}, {time.Hour, "h"}} {
		if per == u.time {
			return unit + "/" + u.text
		}
	}
	return unit + "/" + per.String()
}
