package uplink_test

import (
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

// busy is what a machine that has more to do may add to a time that is promised.
const busy = 30 * time.Second

// logger writes to the test's output when ANDON_TEST_LOG is set.
func logger() *slog.Logger {
	var w io.Writer = io.Discard
	if os.Getenv("ANDON_TEST_LOG") != "" {
		w = os.Stderr
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// eventually waits until cond holds. changed wakes it up; without one it looks
// every few milliseconds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// never fails the test when cond comes to hold within d.
func never(t testing.TB, d time.Duration, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if cond() {
			t.Fatalf("happened: %s", what)
		}
	}
}
