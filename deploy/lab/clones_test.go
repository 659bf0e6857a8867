package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"andon.internal/lab/factory"
	"andon.internal/lab/process"
	"andon.internal/shared/freeport"
)

// TestLiveClones: a second box begins with a copy of the first one's card and its
// configuration, reads machines of its own, and both run at once against one collector. What
// each takes is stored once, what both hold is stored once, and the plant is told that two
// boxes have one name.
func TestLiveClones(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a factory")
	}
	t.Parallel()
	dir := place(t)
	f, err := factory.Start(t.Context(), factory.Options{
		Dir: dir, Bin: bin, Cells: []factory.Cell{{Name: "cell-01", Dynos: factory.Dynos{Stations: 2, Rate: 20, Programme: time.Hour}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(false); err != nil {
			t.Error(err)
		}
	}()
	expectMoreRows(t, f.DSN(), "cell-01")
	// With the broker gone both cards hold the same readings.
	must(t, f.Kill("broker"))
	eventually(t, "the cell buffers", func() bool {
		n, err := f.Buffered(t.Context(), "cell-01")
		return err == nil && n > 40
	}, func() any { return nil })
	must(t, f.Stop("cell-01"))
	clone := cloneCell(t, dir)
	must(t, f.Restart(t.Context(), "broker"))
	must(t, f.Restart(t.Context(), "cell-01"))
	must(t, clone.Start())
	defer func() { must(t, clone.Stop()) }()

	// Both get their readings home while both run.
	for _, unit := range []string{"dyno-", "clone-"} {
		had := unitRows(t, f.DSN(), unit)
		eventually(t, "fresh readings of "+unit+" arrive beside the other's", func() bool {
			return unitRows(t, f.DSN(), unit) > had+100
		}, func() any { return []int{unitRows(t, f.DSN(), "dyno-"), unitRows(t, f.DSN(), "clone-")} })
	}
	told := cause(t, filepath.Join(dir, "collector", "log.txt"), "two boxes seem to claim one node")
	if !strings.Contains(told, "cell-01") {
		t.Errorf("the collector says %q", told)
	}

	// Each is stopped, and then sends what it still has, alone.
	must(t, f.Stop("cell-01"))
	must(t, clone.Stop())
	for _, c := range []string{"cell-01", "clone"} {
		empty(t, filepath.Join(dir, c))
	}
	audit(t, filepath.Join(dir, "collector", "config.yaml"), f.DSN())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cloneCell copies the card of a stopped cell to a box of its own, which reads other machines.
func cloneCell(t *testing.T, dir string) *process.Process {
	t.Helper()
	from, to := filepath.Join(dir, "cell-01"), filepath.Join(dir, "clone")
	must(t, os.CopyFS(filepath.Join(to, "data"), os.DirFS(filepath.Join(from, "data"))))
	port, err := freeport.Take()
	must(t, err)
	edit(t, filepath.Join(from, "config.yaml"), filepath.Join(to, "config.yaml"), func(line string) string {
		switch key, _, _ := strings.Cut(strings.TrimSpace(line), ":"); key {
		case "data":
			return "data: " + filepath.Join(to, "data")
		case "stations":
			return line + "\n" + strings.Replace(line, strings.TrimSpace(line), "prefix: clone-", 1)
		case "listen":
			return strings.Replace(line, strings.TrimSpace(line), fmt.Sprintf("listen: 127.0.0.1:%d", port), 1)
		}
		return line
	})
	return process.New(process.Spec{
		Name: "clone", Path: filepath.Join(bin, "andon-agent"), Args: []string{"run", "--config", filepath.Join(to, "config.yaml")},
		Log: filepath.Join(to, "log.txt"),
	})
}

// edit writes a file's lines anew.
func edit(t *testing.T, from, to string, change func(line string) string) {
	t.Helper()
	text, err := os.ReadFile(from)
	must(t, err)
	lines := strings.Split(string(text), "\n")
	for i := range lines {
		lines[i] = change(lines[i])
	}
	must(t, os.WriteFile(to, []byte(strings.Join(lines, "\n")), 0o600))
}

// empty runs a cell without sources until its buffer has been acknowledged.
func empty(t *testing.T, dir string) {
	t.Helper()
	config := filepath.Join(dir, "drain.yaml")
	sources := false
	edit(t, filepath.Join(dir, "config.yaml"), config, func(line string) string {
		if !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "-") {
			sources = strings.HasPrefix(line, "sources:")
		}
		if sources {
			return ""
		}
		return line
	})
	p := process.New(process.Spec{
		Name: "drain", Path: filepath.Join(bin, "andon-agent"), Args: []string{"run", "--config", config}, Log: filepath.Join(dir, "log.txt"),
	})
	must(t, p.Start())
	state := ""
	eventually(t, "the buffer is empty", func() bool {
		out, err := exec.Command(filepath.Join(bin, "andon-agent"), "status", "--json", "--config", config).CombinedOutput()
		state = string(out)
		var is struct{ Buffer struct{ Records *int } }
		return err == nil && json.Unmarshal(out, &is) == nil && is.Buffer.Records != nil && *is.Buffer.Records == 0
	}, func() any { return state })
	must(t, p.Stop())
}

// unitRows counts the readings of units whose names begin so.
func unitRows(t *testing.T, dsn, prefix string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	must(t, err)
	defer conn.Close(context.Background())
	must(t, conn.QueryRow(t.Context(), `select count(*) from readings_dyno where starts_with(unit_id, $1)`, prefix).Scan(&n))
	return n
}

// cause waits for a line of a log.
func cause(t *testing.T, log, text string) (line string) {
	t.Helper()
	eventually(t, log+" says "+text, func() bool {
		all, err := os.ReadFile(log)
		must(t, err)
		for l := range strings.SplitSeq(string(all), "\n") {
			if strings.Contains(l, text) {
				line = l
			}
		}
		return line != ""
	}, func() any { return nil })
	return line
}

// audit checks that every reading of every run is stored once, and every position of every
// epoch accounted for.
func audit(t *testing.T, config, dsn string) {
	t.Helper()
	out, err := exec.Command(filepath.Join(bin, "andon-collector"), "audit", "--config", config, "--json").Output()
	must(t, err)
	var is struct {
		Runs []struct {
			Unit                      string
			Expected, Stored, Missing int64
		}
		Epochs []struct {
			Epoch, Holes, Losses                   string
			Expected, Committed, Lost, Quarantined uint64
		}
	}
	must(t, json.Unmarshal(out, &is))
	total := int64(0)
	for _, r := range is.Runs {
		total += r.Stored
		if r.Missing != 0 || r.Stored != r.Expected {
			t.Errorf("run %+v", r)
		}
	}
	for _, e := range is.Epochs {
		if e.Committed != e.Expected || e.Lost != 0 || e.Quarantined != 0 {
			t.Errorf("epoch %+v", e)
		}
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	must(t, err)
	defer conn.Close(context.Background())
	var rows, different int64
	must(t, conn.QueryRow(t.Context(), `select count(*), count(distinct (unit_id, ts, torque_nm)) from readings_dyno`).Scan(&rows, &different))
	if rows != total || different != total || total == 0 {
		t.Errorf("%d readings are stored, %d of them different, and the runs have %d", rows, different, total)
	}
}
