package collector_test

import (
	"fmt"
	"testing"
	"time"

	"andon.internal/collector/internal/edgetest"
	"andon.internal/shared/alarm"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

// skewRule has the alarm of the shipped rules without its delay.
const skewRule = `
- {alarm: clock-skew, features: {off: {fn: skew}}, when: off > 30, clear_when: off < 20, priority: medium}
`

// TestClocks takes one cell through what clocks do, with a real database: it boots in
// 1970, is set, is an hour behind, then an hour ahead, and right again. Every reading is
// stored once, in the order of its position, and marked for what its time is worth; the
// clock is an alarm while it is off.
func TestClocks(t *testing.T) {
	broker, dsn := edgetest.StartBroker(t), newDatabase(t)
	heard := listen(t, broker)
	start(t, broker, dsn, ownRules(t, skewRule)).waitReady()
	node := newNode("cell-1")
	booted := time.Now().Add(-100 * time.Second)
	boot := func() int64 { return time.Since(booted).Nanoseconds() }
	off := booted.Sub(time.Unix(0, 0)) // ours minus the cell's
	node.Now = func() time.Time { return time.Now().Add(-off) }
	c := dial(t, broker, node)
	quality := telemetry.TimeUnsynced
	taken := 0
	sent := map[int]time.Time{}
	take := func(n int) {
		t.Helper()
		for range n {
			now := time.Now()
			sent[taken] = now
			r := node.Reading(unit, born, now.Add(-off).UnixNano(), uint64(taken), 1)
			anchor := now.Add(-off).UnixNano() - now.Sub(booted).Nanoseconds()
			r.Clock = telemetry.Clock{Boot: node.Boot, Offset: anchor, Quality: quality}
			r.Qualities[0] = r.Qualities[0].WithTime(quality)
			node.Uptime = boot()
			c.Send(node.Data(r))
			taken++
		}
	}
	take(5)
	heard.until("clock-skew", alarm.Unacknowledged)
	off, quality = 0, telemetry.TimeOK
	take(5)
	heard.until("clock-skew", alarm.ReturnedUnacknowledged)
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		off, quality = by, telemetry.TimeStepped
		take(1)
		quality = telemetry.TimeOK
		take(5)
	}
	off = 0
	take(5)
	c.Send(node.Heartbeat(sparkplug.Heartbeat{}))

	const sql = `SELECT position, (extract(epoch FROM ts) * 1000000)::bigint, quality >> 8,
 (extract(epoch FROM received_at) * 1000000)::bigint, torque_nm::bigint FROM reading_dyno ORDER BY epoch_key, position, row_no`
	var rows []string
	eventually(t, "every reading is stored", func() bool {
		rows = query(t, dsn, sql)
		return len(rows) >= taken
	})
	if len(rows) != taken || len(query(t, dsn, "SELECT 1 FROM quarantine")) != 0 {
		t.Fatalf("%d readings were taken; stored are %d, quarantined %v", taken, len(rows), query(t, dsn, "SELECT reason FROM quarantine"))
	}
	want := []string{
		"corrected", "corrected", "corrected", "corrected", "corrected", "ok", "ok", "ok", "ok", "ok",
		"stepped", "skewed", "skewed", "skewed", "skewed", "skewed", "stepped", "skewed", "skewed", "skewed", "skewed", "skewed",
		"ok", "ok", "ok", "ok", "ok",
	}
	ours := []time.Duration{0, 0, time.Hour, -time.Hour, 0}
	for i, row := range rows {
		var position, ts, received, cycles int64
		var q telemetry.TimeQuality
		if _, err := fmt.Sscan(row, &position, &ts, &q, &received, &cycles); err != nil {
			t.Fatalf("%q: %v", row, err)
		}
		if q.String() != want[i] {
			t.Errorf("reading %d is %v, want %s", i, q, want[i])
		}
		phase := 0
		for _, from := range []int{5, 10, 16, 22} {
			if i >= from {
				phase++
			}
		}
		stamped := sent[i].Add(-ours[phase])
		if wrong := time.UnixMicro(ts).Sub(stamped); wrong < -5*time.Millisecond || wrong > 2*time.Second {
			t.Errorf("reading %d of %v has the time %v", i, stamped, time.UnixMicro(ts))
		}
		if position != int64(i) || cycles != int64(i) {
			t.Errorf("reading %d is position %d with the value %d", i, position, cycles)
		}
		if late := time.UnixMicro(received).Sub(sent[i]); late < -time.Millisecond || late > patience {
			t.Errorf("reading %d came at %v", i, time.UnixMicro(received))
		}
	}
	if got := query(t, dsn, `SELECT count(*) FROM pg_inherits WHERE inhparent = 'reading_dyno'::regclass`); got[0] == "0" || len(got[0]) > 2 {
		t.Errorf("%v partitions", got)
	}
}
