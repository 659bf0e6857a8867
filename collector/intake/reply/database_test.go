package reply_test

import (
	"testing"
	"time"

	"andon.internal/collector/intake/reply"
	"andon.internal/shared/sparkplug"
	"andon.internal/shared/telemetry"
)

func TestDatabaseStateIsToldAtOnce(t *testing.T) {
	r := newRig(t, reply.Config{})
	r.board.Born(node)
	r.run(500 * time.Millisecond)
	for _, s := range []sparkplug.DBState{sparkplug.DBDown, sparkplug.DBOK} {
		r.log = nil
		r.board.Database(func(telemetry.Node) sparkplug.DBState { return s })
		r.run(20 * time.Millisecond)
		if list := r.acks(node); len(list) != 1 || list[0].out.Ack.DB != s {
			t.Errorf("database %v: told %v", s, list)
		}
		r.run(100 * time.Millisecond)
	}
}

func TestEachNodeIsToldOfItsOwnDatabase(t *testing.T) {
	r := newRig(t, reply.Config{})
	r.board.Born(node)
	r.board.Born(other)
	r.run(500 * time.Millisecond)
	r.log = nil
	r.board.Database(func(n telemetry.Node) sparkplug.DBState {
		if n == node {
			return sparkplug.DBDown
		}
		return sparkplug.DBOK
	})
	r.run(20 * time.Millisecond)
	if list := r.acks(node); len(list) != 1 || list[0].out.Ack.DB != sparkplug.DBDown {
		t.Errorf("whose database is away is told %v", list)
	}
	if list := r.acks(other); len(list) != 0 {
		t.Errorf("whose database is well is told %v, and there is nothing new", list)
	}
	r.run(2 * time.Second)
	for n, want := range map[telemetry.Node]sparkplug.DBState{node: sparkplug.DBDown, other: sparkplug.DBOK} {
		for _, s := range r.acks(n) {
			if s.out.Ack.DB != want {
				t.Errorf("%v is told %v at %v", n, s.out.Ack.DB, s.at)
			}
		}
	}
}
