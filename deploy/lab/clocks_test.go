package lab_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/factory"
)

// The times of readings as telemetry.TimeQuality has them, which are stored.
const (
	timeOK        = 0
	timeSkewed    = 1
	timeStepped   = 2
	timeCorrected = 3
)

// onTheWay is how long a reading may take to the collector: little beside an hour or 50 years.
const onTheWay = 20 * time.Second

// clocked is a factory whose cell has a wall clock that the test sets.
type clocked struct {
	t    *testing.T
	dir  string
	conn *pgx.Conn
}

// set sets the cell's wall clock to be off by so much.
func (c *clocked) set(off time.Duration) {
	c.t.Helper()
	file := filepath.Join(c.dir, "clock")
	must(c.t, os.WriteFile(file+".new", []byte(off.String()), 0o644))
	must(c.t, os.Rename(file+".new", file))
}

// times returns how many readings there are of each quality of time, and the largest
// distance of their times from when they were received, less off.
func (c *clocked) times(from time.Time, off time.Duration) (n map[int]int, furthest time.Duration) {
	c.t.Helper()
	rows, err := c.conn.Query(c.t.Context(), `select (quality >> 8) & 15, count(*), max(abs(extract(epoch from ts - received_at) - $2))
		from readings_dyno where received_at > $1 group by 1`, from, off.Seconds())
	must(c.t, err)
	n = map[int]int{}
	for rows.Next() {
		var quality, count int
		var by float64
		must(c.t, rows.Scan(&quality, &count, &by))
		n[quality] = count
		furthest = max(furthest, time.Duration(by*float64(time.Second)))
	}
	must(c.t, rows.Err())
	return n, furthest
}

// come waits until some readings of a quality were received after from.
func (c *clocked) come(what string, from time.Time, quality int) {
	c.t.Helper()
	eventually(c.t, what, func() bool {
		n, _ := c.times(from, 0)
		return n[quality] > 60
	}, func() any { n, by := c.times(from, 0); return fmt.Sprint(n, by) })
}

// alarm waits until the alarm clock-skew is active, or not.
func (c *clocked) alarm(active bool) {
	c.t.Helper()
	n := 0
	eventually(c.t, fmt.Sprintf("clock-skew is active: %t", active), func() bool {
		must(c.t, c.conn.QueryRow(c.t.Context(), `select count(*) from alarm where rule = 'clock-skew' and condition = 'active'`).Scan(&n))
		return (n == 1) == active
	}, func() any { return n })
}

// TestClocks: the real agent on a box that boots in 1970, whose clock is set right, an hour
// ahead and back. Every reading is stored once, at the time that it was taken as well as that
// is known, and says what its time is worth; the alarm is raised and cleared.
func TestClocks(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory")
	}
	t.Parallel()
	dir := place(t)
	c := &clocked{t: t, dir: dir}
	c.set(-time.Duration(time.Now().UnixNano()) + time.Minute)
	f, err := factory.Start(t.Context(), factory.Options{
		Dir: dir, Bin: clockedBin(t, dir), Cells: []factory.Cell{{Name: "cell-01", Dynos: factory.Dynos{Stations: 2, Rate: 20, Programme: time.Hour}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(false); err != nil {
			t.Error(err)
		}
	}()
	c.conn, err = pgx.Connect(t.Context(), f.DSN())
	must(t, err)
	defer c.conn.Close(context.Background())

	c.come("readings of a box of 1970 are dated", time.Time{}, timeCorrected)
	if n, by := c.times(time.Time{}, 0); len(n) != 1 || by > onTheWay {
		t.Errorf("of a box of 1970: %v readings by quality, off by up to %v", n, by)
	}
	c.set(0)
	right := time.Now()
	c.come("a clock that is right", right, timeOK)

	c.set(time.Hour)
	ahead := time.Now()
	c.come("readings of a clock that is ahead are marked", ahead, timeSkewed)
	last := time.Now()
	eventually(t, "another reading", func() bool { n, _ := c.times(last, 0); return n[timeSkewed] > 0 }, func() any { return last })
	if n, by := c.times(last, time.Hour); n[timeSkewed] == 0 || by > onTheWay {
		t.Errorf("an hour ahead: %v readings by quality, off from that by up to %v", n, by)
	}
	c.alarm(true)
	c.set(0)
	back := time.Now()
	c.come("a clock that is right again", back, timeOK)
	c.alarm(false)
	if n, _ := c.times(right, 0); n[timeStepped] == 0 {
		t.Errorf("since it was first set: %v readings by quality", n)
	}
	if n, _ := c.times(ahead, 0); n[timeCorrected] != 0 {
		t.Errorf("since it was set ahead: %v readings by quality", n)
	}
	if os.Getenv("ANDON_LONG") != "" {
		c.set(-time.Hour)
		behind := time.Now()
		c.come("readings of a clock that is behind are marked", behind, timeSkewed)
		c.alarm(true)
		c.set(0)
		c.alarm(false)
	}
	must(t, f.Stop("cell-01"))
	empty(t, filepath.Join(dir, "cell-01"))
	audit(t, filepath.Join(dir, "collector", "config.yaml"), f.DSN())
}

// clockedBin makes a folder of the binaries in which the agent is one whose clock can be set.
func clockedBin(t *testing.T, dir string) string {
	t.Helper()
	own := filepath.Join(dir, "bin")
	must(t, os.Mkdir(own, 0o755))
	build := exec.Command("go", "build", "-tags", "andon_broken", "-o", filepath.Join(own, "agent"), "./cmd/andon-agent")
	build.Dir = "../../agent"
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build an agent whose clock can be set: %v\n%s", err, out)
	}
	script := fmt.Sprintf("#!/bin/sh\nANDON_CLOCK='%s' exec '%s' \"$@\"\n", filepath.Join(dir, "clock"), filepath.Join(own, "agent"))
	must(t, os.WriteFile(filepath.Join(own, "andon-agent"), []byte(script), 0o755))
	for _, name := range []string{"andon-broker", "andon-collector"} {
		must(t, os.Symlink(filepath.Join(bin, name), filepath.Join(own, name)))
	}
	return own
}
