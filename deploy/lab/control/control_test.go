package control_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon.internal/lab/cable"
	"andon.internal/lab/control"
	"andon.internal/lab/factory"
	"andon.internal/shared/ops"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake writes down what it is told; every command for "nobody" fails.
type fake struct {
	mu   sync.Mutex
	told []string
}

func (f *fake) tell(what, target string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, what+" "+target)
	if target == "nobody" {
		return ops.Hint(errors.New("there is no nobody"), "there are: a, b")
	}
	return nil
}

func (f *fake) Heal(cell string) error { return f.tell("heal", cell) }
func (f *fake) Kill(p string) error    { return f.tell("kill", p) }

func (f *fake) Status(context.Context) factory.Status { return factory.Status{DSN: "postgres://x"} }

func (f *fake) Cut(cell string, how cable.State) error { return f.tell("cut "+string(how), cell) }

func (f *fake) Restart(_ context.Context, p string) error { return f.tell("restart", p) }

func (f *fake) Inject(_ context.Context, unit string, x factory.Fault) error {
	return f.tell("inject "+x.Kind+" "+x.Signal+" "+x.Duration.String(), unit)
}

func (f *fake) Drive(_ context.Context, unit string, run bool) error {
	return f.tell(fmt.Sprint("drive ", run), unit)
}

func TestCommands(t *testing.T) {
	lab, downs := &fake{}, 0
	socket := filepath.Join(t.TempDir(), "sock")
	s, err := control.Listen(socket, lab, func() { downs++ })
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()

	c := control.Dial(socket)
	if st, err := c.Status(t.Context()); err != nil || st.DSN != "postgres://x" {
		t.Errorf("status %+v, %v", st, err)
	}
	for what, do := range map[string]func() error{
		"cut cut":  func() error { return c.Cut(ctx, "a", cable.Cut) },
		"cut deaf": func() error { return c.Cut(ctx, "a", cable.Deaf) },
		"heal":     func() error { return c.Heal(ctx, "a") },
		"inject spike torque_nm 5s": func() error {
			return c.Inject(ctx, "a", factory.Fault{Kind: "spike", Signal: "torque_nm", Duration: 5 * time.Second})
		},
		"drive true":  func() error { return c.Drive(ctx, "a", true) },
		"drive false": func() error { return c.Drive(ctx, "a", false) },
		"kill":        func() error { return c.Kill(ctx, "a") },
		"restart":     func() error { return c.Restart(ctx, "a") },
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if !slices.Contains(lab.told, what+" a") {
			t.Errorf("the lab was not told to %s", what)
		}
	}
	err = c.Kill(ctx, "nobody")
	var h interface{ Hint() string }
	if err == nil || err.Error() != "there is no nobody" || !errors.As(err, &h) || h.Hint() != "there are: a, b" {
		t.Errorf("kill nobody: %v, want the lab's own words and hint", err)
	}
	if err := c.Down(ctx); err != nil || downs != 1 {
		t.Errorf("down: %v, called %d times", err, downs)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := c.Status(t.Context()); err == nil {
		t.Error("an answer from a lab that has ended")
	}
}
