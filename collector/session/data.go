package session

import (
	"errors"
	"fmt"
	"time"

	"andon.internal/shared/ranges"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// unitData takes a DDATA: a record, or an alarm's event.
func (t *Table) unitData(n *node, m Message, now time.Time) Result {
	env, r, ok := t.identify(n, m, now)
	if !ok {
		return r
	}
	if env.UUID != sparkplug.RecordUUID {
		return n.entry(env, m, r.Gap).poison(m, fmt.Errorf("%s is not known to this collector; a newer one may be", env.UUID))
	}
	layout, ok := n.layout(m.Topic.Device, env.Fingerprint)
	if !ok {
		d := t.drop(n, now, UnknownUnit, nil)
		d.Gap = r.Gap
		return d
	}
	_, record, historical, err := sparkplug.DecodeRecord(m.Payload, m.Topic.Device, layout, t.config.Limits.Payload)
	switch {
	case errors.Is(err, sparkplug.ErrLayout):
		d := t.drop(n, now, UnknownUnit, err)
		d.Gap = r.Gap
		return d
	case err != nil:
		return n.entry(env, m, r.Gap).poison(m, err)
	}
	err = n.date(&env, record, m.Received, n.skew.now(m.Received))
	r = n.entry(env, m, r.Gap)
	if err != nil {
		return r.poison(m, err)
	}
	r.Entry.Record, r.Entry.Historical = record, historical
	return r
}

// nodeData takes an NDATA: a loss record, or the heartbeat.
func (t *Table) nodeData(n *node, m Message, now time.Time) Result {
	if _, err := sparkplug.Peek(m.Payload); errors.Is(err, sparkplug.ErrForeign) {
		return t.heartbeat(n, m, now)
	}
	env, r, ok := t.identify(n, m, now)
	if !ok {
		return r
	}
	gap := r.Gap
	r = n.entry(env, m, gap)
	if env.UUID != sparkplug.LossUUID {
		return r.poison(m, fmt.Errorf("%s came as NDATA", env.UUID))
	}
	_, loss, err := sparkplug.DecodeLoss(m.Payload, t.config.Limits.Payload)
	if err == nil && !n.admitEpoch(loss.Epoch, t.config.Limits.Epochs) {
		err = fmt.Errorf("loss is of epoch %s, which the birth does not list", loss.Epoch)
	}
	if err != nil {
		return r.poison(m, err)
	}
	r.Entry.Loss = &loss
	return r
}

func (t *Table) heartbeat(n *node, m Message, now time.Time) Result {
	p, err := sparkplug.Decode(m.Payload, t.config.Limits.Payload)
	if err != nil {
		return Result{Reason: Unidentified, Err: err}
	}
	gap := n.follow(p, m, now)
	h, ok := sparkplug.ParseHeartbeat(p)
	if !ok {
		return Result{Reason: Unexpected, Gap: gap}
	}
	n.heartbeat, n.beaten = h, now
	return Result{Kind: Heartbeat, Gap: gap, Heartbeat: &h}
}

// identify reads a message's identity and checks it against the births. When ok is
// false the result stands; when true it holds only the gap.
func (t *Table) identify(n *node, m Message, now time.Time) (sparkplug.Envelope, Result, bool) {
	env, err := sparkplug.Peek(m.Payload)
	if err == nil && env.Position > ranges.MaxPosition {
		err = fmt.Errorf("position %d is above the highest, %d", env.Position, uint64(ranges.MaxPosition))
	}
	if err != nil {
		return env, Result{Reason: Unidentified, Err: err}, false
	}
	gap := 0
	if env.HasSeq {
		gap = n.seq.take(env.Seq, now)
	}
	if env.Session != n.session {
		r := t.drop(n, now, WrongSession, nil)
		r.Gap = gap
		return env, r, false
	}
	if !n.admitEpoch(env.Epoch, t.config.Limits.Epochs) {
		r := t.drop(n, now, WrongSession, errors.New("record is of an epoch that the birth does not list"))
		r.Gap = gap
		return env, r, false
	}
	n.skew.take(m.Received, env.Timestamp, env.SentBoot, true)
	n.dating.take(m.Received, &env, &n.skew)
	return env, Result{Gap: gap}, true
}

// admitEpoch reports whether positions of the epoch are taken: those of the birth
// are, and a bounded number of others, since each becomes a row of the ledger.
func (n *node) admitEpoch(e telemetry.Epoch, others int) bool {
	if n.listed[e] || n.others[e] {
		return true
	}
	if len(n.others) >= others {
		return false
	}
	n.others[e] = true
	return true
}

// entry returns the result for a message whose identity is known, and remembers its
// position.
func (n *node) entry(env sparkplug.Envelope, m Message, gap int) Result {
	if top, seen := n.highest[env.Epoch]; !seen || env.Position > top {
		n.highest[env.Epoch] = env.Position
	}
	return Result{Kind: Data, Gap: gap, Entry: &Entry{
		Node: n.id, Epoch: env.Epoch, Position: env.Position, Received: m.Received, Moved: env.Moved,
	}}
}

// poison makes the entry one for the quarantine.
func (r Result) poison(m Message, why error) Result {
	r.Err = why
	r.Entry.Poison = &Poison{Reason: why.Error(), Payload: m.Payload}
	return r
}
