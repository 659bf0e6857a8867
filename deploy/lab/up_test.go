package lab_test

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/cable"
	"andon.internal/lab/process"
)

// rows returns how many readings a cell has in PostgreSQL.
func rows(t *testing.T, dsn, cell string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	err = conn.QueryRow(t.Context(), `select count(*) from readings_dyno where node_id = $1`, cell).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func expectMoreRows(t *testing.T, dsn, cell string) {
	t.Helper()
	had, now := rows(t, dsn, cell), 0
	eventually(t, "readings of "+cell+" arrive", func() bool {
		now = rows(t, dsn, cell)
		return now > had
	}, func() any { return now })
}

func TestUpSteerDown(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory")
	}
	t.Parallel()
	dir := place(t)
	p := up(t, dir, "--cells", "2", "--rate", "10")
	s := readStatus(t, dir)
	expectMoreRows(t, s.DSN, "cell-01")
	expectMoreRows(t, s.DSN, "cell-02")
	for _, want := range []string{"http://" + s.Pages + "/", "psql '" + s.DSN + "'", "watch", "mosquitto_sub -p ", "cut cell-01", "down"} {
		if !strings.Contains(p.out.String(), want) {
			t.Errorf("the guide lacks %q", want)
		}
	}
	t.Run("cut and heal", func(t *testing.T) { cutAndHeal(t, dir, s.DSN) })
	t.Run("kill and restart", func(t *testing.T) { killAndRestart(t, dir) })
	t.Run("crash", func(t *testing.T) { crash(t, dir, p) })
	t.Run("mistakes", func(t *testing.T) {
		for args, want := range map[string]string{
			"kill nobody":     "there are: postgres, broker, collector, cell-01, cell-02",
			"cut broker":      "there are: cell-01, cell-02",
			"heal cell-01":    "whole",
			"status --lab no": "lab1",
			"cut":             "--help",
			"up --cells many": "--cells",
			"up --name a/b":   "name",
			"verify":          "--replay",

			"inject dyno-99 drift":            "such as dyno-03",
			"inject dyno-01 gremlins":         "is none of thermal-runaway",
			"inject dyno-01":                  "--help",
			"release dyno-01-9999":            "no simulated cell",
			"generate --output /no/x":         "/no/x",
			"generate --output x --engines 0": "1 or more",
		} {
			if _, err := lab(t, dir, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("andon-lab %s: %v, want an error with %q", args, err, want)
			}
		}
	})
	expectMoreRows(t, s.DSN, "cell-01")
	expectMoreRows(t, s.DSN, "cell-02")
	s = readStatus(t, dir)
	mustLab(t, dir, "down")
	p.end(t)
	for _, proc := range s.Processes {
		if alive(proc.PID) {
			t.Errorf("%s is alive after down", proc.Name)
		}
	}
	expectNothingLeft(t, dir)
}

func cutAndHeal(t *testing.T, dir, dsn string) {
	for _, how := range [][]string{{"cut", "cell-01"}, {"cut", "cell-01", "--silent"}, {"cut", "cell-01", "--deaf"}} {
		mustLab(t, dir, how...)
		var s status
		eventually(t, "the cell's backlog grows", func() bool {
			s = readStatus(t, dir)
			return s.Cells[0].Cable != cable.Whole && s.Cells[0].Buffered != nil && *s.Cells[0].Buffered > 100
		}, func() any { return s.Cells })
		if s.Cells[1].Cable != cable.Whole {
			t.Errorf("the other cell's cable is %s", s.Cells[1].Cable)
		}
		expectMoreRows(t, dsn, "cell-02")
		mustLab(t, dir, "heal", "cell-01")
		eventually(t, "the backlog comes home", func() bool {
			s = readStatus(t, dir)
			return s.Cells[0].Cable == cable.Whole && s.Cells[0].Buffered != nil && *s.Cells[0].Buffered < 100
		}, func() any { return s.Cells })
	}
}

func killAndRestart(t *testing.T, dir string) {
	for _, name := range []string{"postgres", "broker", "collector", "cell-02"} {
		before := readStatus(t, dir)
		old := before.process(t, name)
		mustLab(t, dir, "kill", name)
		s := readStatus(t, dir)
		if now := s.process(t, name); now.State != process.Killed || now.PID != 0 || alive(old.PID) {
			t.Errorf("after kill: %+v, alive %v", now, alive(old.PID))
		}
		mustLab(t, dir, "restart", name)
		s = readStatus(t, dir)
		if now := s.process(t, name); now.State != process.Running || now.PID == old.PID || now.Starts != old.Starts+1 {
			t.Errorf("after restart: %+v, was %+v", now, old)
		}
		expectMoreRows(t, s.DSN, "cell-02")
	}
	before := readStatus(t, dir) // a restart of what runs
	mustLab(t, dir, "restart", "collector")
	after := readStatus(t, dir)
	if a, b := before.process(t, "collector"), after.process(t, "collector"); a.PID == b.PID || b.State != process.Running {
		t.Errorf("restart of the running collector: %+v, then %+v", a, b)
	}
	expectMoreRows(t, after.DSN, "cell-02")
}

// crash kills processes behind the lab's back: they are reported and started again.
func crash(t *testing.T, dir string, p *program) {
	for _, name := range []string{"broker", "postgres"} {
		s := readStatus(t, dir)
		old := s.process(t, name)
		if err := syscall.Kill(old.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" is started again", func() bool {
			s = readStatus(t, dir)
			now := s.process(t, name)
			return now.State == process.Running && now.PID != 0 && now.PID != old.PID
		}, func() any { return s.Processes })
		if !strings.Contains(p.out.String(), "process="+name) {
			t.Errorf("the exit of %s was not reported", name)
		}
		expectMoreRows(t, s.DSN, "cell-02")
	}
}

func TestTwoLabsAndCtrlC(t *testing.T) {
	if testing.Short() {
		t.Skip("starts factories")
	}
	t.Parallel()
	dir := place(t)
	a, b := up(t, dir, "--cells", "1"), up(t, dir, "--cells", "1", "--name", "other")
	if _, err := lab(t, dir, "status"); err == nil || !strings.Contains(err.Error(), "lab1, other") {
		t.Errorf("status with two labs: %v, want both names", err)
	}
	first, second := readStatus(t, dir, "--lab", "lab1"), readStatus(t, dir, "--lab", "other")
	if first.DSN == second.DSN || first.Broker == second.Broker || first.Data == second.Data {
		t.Errorf("two labs share an address: %+v and %+v", first, second)
	}
	expectMoreRows(t, first.DSN, "cell-01")
	expectMoreRows(t, second.DSN, "cell-01")

	interrupt(t, a)
	expectMoreRows(t, second.DSN, "cell-01")
	if s := readStatus(t, dir); s.Lab.Name != "other" {
		t.Errorf("the only one left is %s", s.Lab.Name)
	}
	postgres := second.process(t, "postgres").PID
	mustLab(t, dir, "kill", "postgres") // which leaves shared memory
	interrupt(t, b)
	expectNothingLeft(t, dir)
	expectNoSharedMemory(t, postgres)
	expectNoSharedMemory(t, first.process(t, "postgres").PID)
}

func interrupt(t *testing.T, p *program) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.end(t)
}

// TestKilledLab kills the lab itself: its children go with it, and the next lab
// sweeps what it left.
func TestKilledLab(t *testing.T) {
	if testing.Short() {
		t.Skip("starts factories")
	}
	t.Parallel()
	dir := place(t)
	p := up(t, dir, "--cells", "1")
	s := readStatus(t, dir)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.done
	for _, proc := range s.Processes {
		eventually(t, proc.Name+" is gone", func() bool { return !alive(proc.PID) }, func() any { return proc.PID })
	}
	if _, err := lab(t, dir, "status"); err == nil || !strings.Contains(err.Error(), "no lab is running") {
		t.Errorf("status: %v, want that none is running", err)
	}
	interrupt(t, up(t, dir, "--cells", "1"))
	expectNothingLeft(t, dir)
}

// TestKeptData starts a lab again on its data: what was there is still there, and
// the cells go on.
func TestKeptData(t *testing.T) {
	if testing.Short() {
		t.Skip("starts factories")
	}
	t.Parallel()
	dir := place(t)
	data := filepath.Join(place(t), "data")
	p := up(t, dir, "--cells", "1", "--data", data, "--rate", "10")
	s := readStatus(t, dir)
	expectMoreRows(t, s.DSN, "cell-01")
	if _, err := lab(t, dir, "up", "--data", data); err == nil || !strings.Contains(err.Error(), "in use by the running lab lab1") {
		t.Errorf("a second lab on the same data: %v", err)
	}
	had := rows(t, s.DSN, "cell-01")
	postgres := s.process(t, "postgres").PID
	mustLab(t, dir, "kill", "postgres") // a killed cluster is kept clean
	interrupt(t, p)
	expectNoSharedMemory(t, postgres)
	p = up(t, dir, "--cells", "1", "--data", data, "--rate", "10")
	s = readStatus(t, dir)
	if now := rows(t, s.DSN, "cell-01"); now < had {
		t.Errorf("%d readings after the new start, %d before", now, had)
	}
	expectMoreRows(t, s.DSN, "cell-01")
	interrupt(t, p)
	expectNothingLeft(t, dir)
}
