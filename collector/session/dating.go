package session

import (
	"strings"
	"time"

	"andon.internal/shared/sparkplug"
)

// dating says when the present boot of a node began by our clock: its anchor. Every
// message says it too late, by what it was on its way, so the least counts, and it is only
// ever lowered. A unit keeps the anchor that it was given until a pause between two of its
// records takes up what the anchor was lowered by: its times never run backwards, and
// its readings keep their distances.
type dating struct {
	least int64 // unix ns; 0: no message said it
	units map[string]dated
}

// dated is how far a unit was dated.
type dated struct {
	latest int64 // by boot time, in ns
	anchor int64
}

// maxDated bounds the units that are remembered; more than that begin anew.
const maxDated = 4096

// take notes a message of the present boot. What messages without a boot time said of the
// node's clock is in the skew, which already knows this one.
func (d *dating) take(received time.Time, env *sparkplug.Envelope, s *skew) {
	if env.SentBoot <= 0 || env.SentBoot >= received.UnixNano() {
		return
	}
	d.lower(received.UnixNano() - env.SentBoot)
	if by, ok := s.near(received); ok {
		d.lower(int64(min(env.Timestamp, maxSent))*1e6 + int64(by) - env.SentBoot)
	}
}

// lower takes an anchor that is earlier. One before 1970 is none.
func (d *dating) lower(anchor int64) {
	if anchor > 0 && (d.least == 0 || anchor < d.least) {
		d.least = anchor
	}
}

// of returns the anchor for a unit's record, of which the first and the latest time are
// given by boot time.
func (d *dating) of(unit string, first, latest int64) int64 {
	u, ok := d.units[unit]
	if !ok || (first-u.latest)/2 >= u.anchor-d.least {
		u.anchor = d.least
	}
	if d.units == nil || (!ok && len(d.units) >= maxDated) {
		d.units = map[string]dated{}
	}
	if !ok {
		unit = strings.Clone(unit)
	}
	u.latest = max(u.latest, latest)
	d.units[unit] = u
	return u.anchor
}
