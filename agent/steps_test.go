package agent_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent"
)

func TestStepsAreUndoneInReverse(t *testing.T) {
	var order []string
	s := agent.NewSteps()
	note := func(name string, err error) func() error {
		return func() error { order = append(order, name); return err }
	}
	s.Add("close state", note("state", nil))
	s.Add("close buffer", note("buffer", errors.New("disk full")))
	s.Start("uplink", time.Minute, func(ctx context.Context) error {
		<-ctx.Done()
		return note("uplink", nil)()
	})
	s.Start("sources", time.Minute, func(ctx context.Context) error {
		<-ctx.Done()
		return note("sources", errors.New("stuck tape"))()
	})
	err := s.Undo()
	if want := []string{"sources", "uplink", "buffer", "state"}; !slices.Equal(order, want) {
		t.Errorf("undone: %v", order)
	}
	if err == nil || err.Error() != "stop sources: stuck tape\nclose buffer: disk full" {
		t.Errorf("error is %v", err)
	}
	if err := s.Undo(); err != nil || len(order) != 4 {
		t.Errorf("undone twice: %v, %v", order, err)
	}
}

func TestAPartThatDoesNotStopHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := agent.NewSteps()
		closed := false
		s.Add("close buffer", func() error { closed = true; return nil })
		s.Start("sources", 5*time.Second, func(context.Context) error { <-release; return nil })
		begin := time.Now()
		err := s.Undo()
		if took := time.Since(begin); took != 5*time.Second || !closed {
			t.Errorf("took %v, buffer closed: %v", took, closed)
		}
		if err == nil || err.Error() != "stop sources: does not stop in time; going on without it" {
			t.Errorf("error is %v", err)
		}
		close(release)
	})
}
