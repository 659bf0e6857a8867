package demo

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"andon.internal/lab/factory"
	"andon.internal/lab/registry"
)

// latestQuery shows that readings arrive, newest first.
const latestQuery = `select unit_id, ts, t50, p30, nc from readings_turbofan order by ts desc limit 10`

// guide writes what there is and what to try.
func guide(out io.Writer, name string, took time.Duration, e registry.Entry, s factory.Status) {
	lab := "andon-lab"
	if self, err := os.Executable(); err == nil {
		lab = shorten(self)
	}
	collector := shorten(filepath.Join(s.Bin, "andon-collector"))
	config := ""
	for _, p := range s.Processes {
		if p.Name == factory.Collector {
			config = p.Config
		}
	}
	cell := s.Cells[0].Name
	fate := "deleted at the end"
	if !e.Temporary {
		fate = "kept at the end"
	}
	fmt.Fprintf(out, `%[1]s: up after %.1[2]f s, data in %[3]s (%[4]s)

  Watch the readings travel:
    %[5]s watch --config %[6]s

  Look at them in PostgreSQL:
    psql '%[7]s' -c '%[8]s'

  Cut a cable, watch the cell's backlog grow, mend it and see it come home:
    %[9]s cut %[10]s --lab %[1]s
    %[9]s status --lab %[1]s
    %[9]s heal %[10]s --lab %[1]s

  Kill anything (%[11]s) and start it again; nothing is lost:
    %[9]s kill collector --lab %[1]s
    %[9]s restart collector --lab %[1]s
    %[5]s audit --config %[6]s

  Ctrl-C here, or `+"`%[9]s down --lab %[1]s`"+` elsewhere, stops everything.

`, name, took.Seconds(), e.Data, fate, collector, config, s.DSN, latestQuery, lab, cell, names(s))
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func names(s factory.Status) string {
	text := ""
	for i, p := range s.Processes {
		if i > 0 {
			text += ", "
		}
		text += p.Name
	}
	return text
}

// shorten makes a path below the working directory relative, for reading.
func shorten(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(wd, path)
	if err != nil || !filepath.IsLocal(rel) {
		return path
	}
	if filepath.Base(rel) == rel {
		return "./" + rel // a shell looks for a bare name in PATH only
	}
	return rel
}
