package uplink_test

import (
	"syscall"
	"testing"
	"time"

	"andon.internal/shared/sparkplug"
)

// plant starts a broker, a collector, a cable and a cell that is not running yet.
func plant(t testing.TB) (*broker, *collector, *proxy, *cell) {
	t.Helper()
	return plantBehind(t, nil)
}

// plantBehind is plant with a proxy whose listener's socket passes control.
func plantBehind(t testing.TB, control func(string, string, syscall.RawConn) error) (*broker, *collector, *proxy, *cell) {
	t.Helper()
	b := startBroker(t, 512<<10)
	p := startProxy(t, b.addr, control)
	c := startCollector(t, "tcp://"+b.addr)
	return b, c, p, newCell(t, fast(p.url()))
}

func TestDeliversOnce(t *testing.T) {
	_, plant, _, cell := plant(t)
	cell.cfg.Retransmit, cell.cfg.RetransmitMax = time.Hour, time.Hour // nothing is lost
	cell.birth("press-1", press)
	cell.birth("press-2", press)
	cell.start()
	for range 50 {
		cell.readings("press-1", 2)
		cell.append(cell.take("press-2", 3))
	}
	cell.drained(plant)
	if n := plant.count(func(s *seen) bool { return isRecord(s) && s.historical }); n != 0 {
		t.Errorf("%d fresh records were marked as historical", n)
	}
	if n := plant.repeated(); n != 0 {
		t.Errorf("%d records were sent twice on a good link", n)
	}
	if n := plant.count(isKind(sparkplug.DBirth)); n != 2 {
		t.Errorf("%d unit births, want 2", n)
	}
}
