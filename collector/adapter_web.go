package collector

import (
	"context"
	"time"

	"andon.internal/collector/feed"
	"andon.internal/collector/host"
	"andon.internal/collector/plant"
	"andon.internal/collector/store"
	"andon.internal/collector/web"
	"andon.internal/shared/alarm"
	"andon.internal/shared/sparkplug"
)

// painter is the feed's sink that keeps the live picture.
type painter struct{ plant *plant.Plant }

// Take brings one event into the picture. It never blocks for long.
func (p painter) Take(e feed.Event) {
	now := e.Received
	switch e.Kind {
	case feed.NodeBorn:
		p.plant.NodeBorn(now, e.Node, e.Birth.Version)
		p.plant.Heartbeat(now, e.Node, bufferOf(&e.Birth.Heartbeat))
	case feed.NodeDied:
		p.plant.NodeDied(now, e.Node)
	case feed.NodeHeard:
		h := e.Heartbeat
		if h == nil {
			p.plant.NodeHeard(now, e.Node)
			return
		}
		p.plant.Heartbeat(now, e.Node, bufferOf(h))
	case feed.UnitBorn:
		u := e.Unit
		p.plant.UnitBorn(now, e.Node, plant.Birth{
			Unit: u.Unit, Profile: u.Profile, Born: time.Unix(0, u.Born), Backlog: u.Backlog, Last: u.Last,
		})
	case feed.UnitDied:
		p.plant.UnitDied(now, e.Node, e.UnitID)
	case feed.Record:
		p.plant.Record(now, e.Node, e.Record, e.Old)
	case feed.Other:
		if a, err := alarm.ParseAlarm(e.Topic, e.Payload); err == nil {
			p.plant.Alarm(now, a)
		}
	}
}

func bufferOf(h *sparkplug.Heartbeat) plant.Buffer {
	return plant.Buffer{
		Rows: h.Rows, Bytes: h.Bytes, Oldest: time.Duration(min(h.OldestMS, maxAgeMS)) * time.Millisecond,
		Lost: h.Lost, DiskFree: h.DiskFree, Clock: h.Clock, Stops: h.Stops,
	}
}

// maxAgeMS keeps what a cell claims within a time.Duration.
const maxAgeMS = 1 << 42

// past is the store's reader as the pages' history and journal.
type past struct{ *store.Reader }

var (
	_ web.History = past{}
	_ web.Journal = past{}
)

func (p past) Series(ctx context.Context, q web.SeriesQuery) (web.Series, bool, error) {
	s, ok, err := p.Reader.Series(ctx, store.SeriesQuery(q))
	if err != nil || !ok {
		return web.Series{}, false, err
	}
	out := web.Series{
		Profile: s.Profile, Step: s.Step, Times: s.Times, Qualities: s.Qualities,
		Signals: make([]web.SignalSeries, len(s.Signals)),
	}
	for i := range s.Signals {
		out.Signals[i] = web.SignalSeries(s.Signals[i])
	}
	return out, true, nil
}

func (p past) Runs(ctx context.Context, group, unit string, from, to time.Time, limit int) ([]web.Run, error) {
	list, err := p.Reader.Runs(ctx, group, unit, from, to, limit)
	if err != nil {
		return nil, err
	}
	out := make([]web.Run, len(list))
	for i := range list {
		out[i] = web.Run(list[i])
	}
	return out, nil
}

func (p past) Losses(ctx context.Context, window time.Duration) ([]web.Loss, error) {
	list, err := p.Reader.Losses(ctx, window)
	out := make([]web.Loss, len(list))
	for i := range list {
		out[i] = web.Loss(list[i])
	}
	return out, err
}

// messenger brings acknowledgements to the sentinel, through the broker.
type messenger struct{ host *host.Host }

// Acknowledge sends with QoS 1 and does not wait: the alarm's new state is the answer.
func (m messenger) Acknowledge(_ context.Context, k alarm.Acknowledgement) error {
	b, err := k.Append(nil)
	if err != nil {
		return err
	}
	return m.host.Send(k.Topic(), b)
}
