package lab_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"andon.internal/lab/cable"
	"andon.internal/lab/cmapss"
	"andon.internal/lab/factory"
)

// TestACellWithoutADisk is a cell that crashes with readings on its disk, and finds that
// read-only when it starts again: what is live is in PostgreSQL, an alarm and the status say
// what is wrong, and when the disk takes writes again all that was on it comes too. Then
// each reading is there once.
func TestACellWithoutADisk(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory")
	}
	t.Parallel()
	const cell, units, cycles = "cell-01", 4, 100
	dir := place(t)
	disk := filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	mount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("none", disk, "tmpfs", flags, "size=64m"); err != nil {
			t.Fatalf("this test needs root, to mount a file system: %v", err)
		}
	}
	mount(0)
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	f, err := factory.Start(t.Context(), factory.Options{
		Dir: place(t), Bin: bin, Idle: true, Sites: map[string]factory.Site{cell: {Data: filepath.Join(disk, "andon")}},
		Cells: []factory.Cell{{
			Name:  cell,
			Dynos: factory.Dynos{Stations: 2, Rate: 10, Programme: 20 * time.Minute},
			Live:  factory.Replay{File: engines(t, place(t), cmapss.Spec{Engines: units, Cycles: cycles, Exact: true}, nil), Speed: "max"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(false); err != nil {
			t.Error(err)
		}
	})
	l := &look{t: t, f: f}
	count := func(sql string, args ...any) int { t.Helper(); return query[int](l, sql, args...) }
	becomes := func(what, sql string, want int) {
		t.Helper()
		eventually(t, what, func() bool { return count(sql) == want }, func() any { return count(sql) })
	}
	status := func() string {
		running := f.Status(t.Context()).Processes
		config := running[len(running)-1].Config
		out, _ := exec.Command(filepath.Join(bin, "andon-agent"), "status", "--config", config).CombinedOutput() // exits with 1: there is trouble
		return string(out)
	}
	state := func() any { return status() }
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	do(f.Cut(cell, cable.Cut))
	l.restart(cell)
	eventually(t, "the file is buffered", func() bool {
		n, err := f.Buffered(t.Context(), cell)
		return err == nil && n > units*cycles
	}, state)
	eventually(t, "the file is on disk", func() bool {
		m, err := f.Metrics(t.Context(), cell)
		unwritten, told := m["andon_buffer_unwritten_records"]
		return err == nil && told && unwritten == 0
	}, state)
	l.kill(cell)
	mount(syscall.MS_REMOUNT | syscall.MS_RDONLY)
	do(f.Heal(cell))
	l.restart(cell)

	dynos := `select count(*)::int from reading_dyno`
	eventually(t, "live readings are stored", func() bool { return count(dynos) > 40 }, state)
	becomes("the alarm is raised", `select count(*)::int from alarm where rule = 'disk-fault' and condition = 'active'`, 1)
	if out := status(); !strings.Contains(out, "no usable disk since") || !strings.Contains(out, "read-only") {
		t.Errorf("the status is\n%s", out)
	}
	if n := count(`select count(*)::int from reading_turbofan`); n != 0 {
		t.Errorf("%d readings of the file, though nobody can know what of it is stored", n)
	}

	mount(syscall.MS_REMOUNT)
	becomes("the file is stored", `select count(*)::int from reading_turbofan`, units*cycles)
	becomes("the alarm is over", `select count(*)::int from alarm where rule = 'disk-fault' and condition = 'normal'`, 1)
	eventually(t, "the cell is ready", func() bool { return f.Ready(t.Context(), cell) == nil }, state)
	do(f.Stop(cell))
	for what, sql := range map[string]string{
		"the file, once":      `select count(*)::int from (select distinct unit_key, ts from reading_turbofan) d`,
		"runs of the engines": fmt.Sprintf(`select %d * count(*)::int from unit_run where readings = expected and profile_key = (select profile_key from profile where name = 'turbofan')`, cycles),
	} {
		if n := count(sql); n != units*cycles {
			t.Errorf("%s: %d, want %d", what, n, units*cycles)
		}
	}
	if n := count(dynos) - count(`select count(*)::int from (select distinct unit_key, ts from reading_dyno) d`); n != 0 {
		t.Errorf("%d readings of the dynos are there twice", n)
	}
	// Of the runs that began without a disk nothing is missing; those before it ended in a crash.
	if n := count(`select count(*)::int from unit_run r where born > (select min(raised_at) from alarm where rule = 'disk-fault') - interval '30 s'
 and readings < expected and died is null and born = (select max(born) from unit_run o where o.unit_key = r.unit_key)`); n != 0 {
		t.Errorf("%d runs lack readings", n)
	}
}
