package auditlog

import (
	"cmp"
	"slices"
	"time"
)

// Bounds of what is told of attempts that did not succeed: who has no right to do
// anything must not be able to fill the log either.
const (
	toldEach    = 20 // noted one by one in each span
	maxKinds    = 32 // of attempts that are counted apart
	maxSources  = 5  // addresses named in a sum
	otherAction = "other attempts"
)

// refusals bounds the attempts that are noted one by one, and sums up the others. It is
// guarded by its writer.
type refusals struct {
	told int
	sums map[kind]*sum
}

type kind struct{ action, result string }

type sum struct {
	n           int
	from        []string
	first, last time.Time
}

// admit reports whether an attempt is noted by itself; else it is counted.
func (r *refusals) admit(e Entry) bool {
	if r.told < toldEach {
		r.told++
		return true
	}
	if r.sums == nil {
		r.sums = map[kind]*sum{}
	}
	k := kind{e.Action, e.Result}
	if r.sums[k] == nil && len(r.sums) >= maxKinds {
		k.action = otherAction
	}
	s := r.sums[k]
	if s == nil {
		s = &sum{first: e.At}
		r.sums[k] = s
	}
	s.n++
	s.last = e.At
	if len(s.from) < maxSources && !slices.Contains(s.from, e.From) {
		s.from = append(s.from, e.From)
	}
	return false
}

// end ends a span and returns an entry for each kind that was counted.
func (r *refusals) end(now time.Time) []Entry {
	var out []Entry
	for k, s := range r.sums {
		out = append(out, Entry{
			At: now, Who: "andon-collector", Role: "system", Action: k.action, Result: k.result,
			Detail: Detail(map[string]any{
				"more": s.n, "from": s.from, "first": s.first.UTC(), "last": s.last.UTC(),
			}),
		}.Clean())
	}
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Action, b.Action), cmp.Compare(a.Result, b.Result))
	})
	*r = refusals{}
	return out
}
