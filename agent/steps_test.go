package agent_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/agent"
)

func TestStepsAreUndoneInReverse(t *testing.T) {
	var order []string
	s := agent.NewSteps(slog.New(slog.DiscardHandler))
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
		s := agent.NewSteps(slog.New(slog.DiscardHandler))
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

// A part that ends of itself is told when it ends, and once.
func TestAPartThatEndsIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out logBuffer
		s := agent.NewSteps(slog.New(slog.NewTextHandler(&out, nil)))
		s.Start("http", time.Minute, func(context.Context) error { return errors.New("port is gone") })
		s.Start("sources", time.Minute, func(context.Context) error { return nil })
		synctest.Wait()
		told := `level=ERROR msg="a part of the agent has ended; the others go on" part=http error="port is gone"`
		if got := out.String(); !strings.Contains(got, told) || strings.Count(got, "\n") != 1 {
			t.Errorf("the log is:\n%s", got)
		}
		if err := s.Undo(); err != nil {
			t.Errorf("undo returns it again: %v", err)
		}
	})
}
