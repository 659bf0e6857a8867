package uplink_test

import (
	"fmt"
	"testing"
	"time"

	"andon.internal/agent/buffer"
	"andon.internal/agent/uplink"
	"andon.internal/shared/sparkplug"
)

// besideLive returns how many records of a backlog are in flight at once while nothing is
// acknowledged and a fresh record waits, for which the window has no room in bytes.
func besideLive(t *testing.T, change func(*uplink.Config)) int {
	t.Helper()
	_, plant, _, cell := plant(t)
	const window = 64 << 10
	cell.cfg.FirstBytes, cell.cfg.LiveAge, cell.cfg.FreshAge = window, time.Hour, time.Hour
	cell.cfg.Quiet, cell.cfg.Silence = time.Hour, time.Hour
	change(&cell.cfg)
	cell.room = func(o *buffer.Options) { o.LiveAge = cell.cfg.LiveAge }
	plant.set(func(p *policy) { p.noAck, p.credit.Records, p.credit.Bytes = true, cell.cfg.FirstRecords, window })
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	cell.readings("press-1", 2*cell.cfg.FirstRecords)
	cell.reopen()
	cell.append(cell.take("press-2", 1))
	cell.append(cell.take("press-2", 4000)) // waits for an empty window
	cell.startCredited()
	eventually(t, "the first fresh record", func() bool {
		return plant.count(func(s *seen) bool { return s.record != nil && s.unit == "press-2" }) > 0
	})
	// All that finds room goes before a heartbeat, and what was before the first is here
	// with the second.
	beats := func() int { return plant.count(func(s *seen) bool { return s.heartbeat != nil }) }
	of := func() int {
		return plant.count(func(s *seen) bool { return s.record != nil && s.unit == "press-1" })
	}
	eventually(t, "the backlog begins", func() bool { return of() > 0 })
	for last, since := -1, 0; ; {
		if n, b := of(), beats(); n != last {
			last, since = n, b
		} else if b > since+3 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return of()
}

// TestBacklogShare: the configured share decides how much of the window the backlog has while
// there are fresh records too.
func TestBacklogShare(t *testing.T) {
	for share, want := range map[float64]int{0.25: 5, 0.5: 10, 0.75: 15} {
		t.Run(fmt.Sprint(share), func(t *testing.T) {
			got := besideLive(t, func(c *uplink.Config) { c.FirstRecords, c.BacklogShare = 20, share })
			if got != want {
				t.Errorf("%d records of the backlog are in flight of 20, want %d", got, want)
			}
		})
	}
}

// TestBacklogYields: before acknowledgements have said what the way takes, the backlog has no
// more than 512 KiB in flight beside fresh records, a record counting 16 KiB beside its bytes.
func TestBacklogYields(t *testing.T) {
	if got := besideLive(t, func(c *uplink.Config) { c.FirstRecords, c.BacklogShare = 200, 0.95 }); got != 31 {
		t.Errorf("%d records of the backlog are in flight, want 31", got)
	}
}

// TestBacklogLeavesTheWayFree: while a message is on its way into the connection the backlog
// gives it nothing beside fresh records, which would wait for that.
func TestBacklogLeavesTheWayFree(t *testing.T) {
	_, plant, p, cell := plantBehind(t, narrow)
	const window = 300 << 10 // of which a fresh record of 4,000 readings takes more than half
	cell.cfg.FirstRecords, cell.cfg.FirstBytes, cell.cfg.LiveAge, cell.cfg.FreshAge = 20, window, time.Hour, time.Hour
	cell.cfg.Retransmit, cell.cfg.RetransmitMax, cell.cfg.SyncTimeout = time.Hour, time.Hour, time.Hour
	cell.cfg.Heartbeat, cell.cfg.Quiet, cell.cfg.Silence = time.Hour, time.Hour, time.Hour
	cell.cfg.WriteTimeout, cell.cfg.PingTimeout = time.Hour, time.Hour
	cell.room = func(o *buffer.Options) { o.LiveAge = cell.cfg.LiveAge }
	credit := sparkplug.Credit{Records: 20, Bytes: window}
	plant.set(func(p *policy) { p.noAck, p.noSync, p.credit = true, true, credit })
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	cell.readings("press-1", 10)
	cell.reopen()
	cell.start()
	plant.has("the birth of press-2", func(s *seen) bool { return s.unitBirth != nil && s.unit == "press-2" })
	p.swallow(true)
	cell.append(cell.take("press-2", 4000)) // more than the connection takes
	cell.append(cell.take("press-2", 4000)) // waits for the window
	eventually(t, "the first fresh record is on its way", func() bool { return cell.up.Status().InFlightRecords == 1 })
	if n := cell.up.Status().InFlightBytes; n < window/2 {
		t.Fatalf("the record takes %d bytes of a window of %d", n, window)
	}
	plant.say(sparkplug.Ack{Credit: credit, Sync: &sparkplug.SyncPart{Session: 1, Part: 1, Of: 1}})
	eventually(t, "the backlog may go", func() bool { return cell.up.Status().Synced })
	if n := cell.up.Status().InFlightRecords; n != 1 {
		t.Errorf("%d records of the backlog wait behind it for the connection", n-1)
	}
	p.swallow(false)
	eventually(t, "the backlog goes once the way is free", func() bool {
		return plant.count(func(s *seen) bool { return s.record != nil && s.unit == "press-1" }) > 0
	})
}
