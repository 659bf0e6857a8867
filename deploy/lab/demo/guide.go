package demo

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"andon.internal/lab/factory"
	"andon.internal/lab/registry"
)

// latestQuery shows that readings arrive, newest first.
const latestQuery = `select unit_id, ts, winding_temp_c, hydraulic_pressure_psi from readings_dyno order by ts desc limit 12`

// guide writes what there is and what to try.
func guide(out io.Writer, name string, took time.Duration, e registry.Entry, s factory.Status) {
	lab := "andon-lab"
	if self, err := os.Executable(); err == nil {
		lab = shorten(self)
	}
	collector := shorten(filepath.Join(s.Bin, "andon-collector"))
	config, pages := "", "" // of a collector's process, and the name of the one with the pages
	for _, p := range s.Processes {
		switch p.Name {
		case factory.Collector, factory.Web:
			config, pages = p.Config, p.Name
		}
	}
	fate := "deleted at the end"
	if !e.Temporary {
		fate = "kept at the end"
	}
	_, port, _ := net.SplitHostPort(s.Broker)
	fmt.Fprintf(out, `%[1]s: up after %.1[2]f s, data in %[3]s (%[4]s)

  The command center:  http://%[5]s/

  1. Cut a cable, see on the page what the cell must hold by now, mend it, and see the
     gap in its units' charts fill:
       %[6]s cut %[7]s --lab %[1]s
       %[6]s heal %[7]s --lab %[1]s

  2. Overheat a motor and see the alarm; stop the machine and see it cool:
       %[6]s inject dyno-03 thermal-runaway --lab %[1]s
       %[6]s stop dyno-03 --lab %[1]s

  3. Watch the topics: decoded, or with any MQTT client (the payloads are Sparkplug B):
       %[8]s watch --config %[9]s
       mosquitto_sub -p %[10]s -t 'spBv1.0/#' -F '%%I %%t %%l bytes'

  And: the rows in PostgreSQL, what every process does, and proof that nothing on disk is lost
  when you kill any of them (%[11]s):
       psql '%[12]s' -c '%[13]s'
       %[6]s status --lab %[1]s
       %[6]s kill %[14]s --lab %[1]s
       %[6]s restart %[14]s --lab %[1]s
       %[8]s audit --config %[9]s

  Ctrl-C here, or `+"`%[6]s down --lab %[1]s`"+` elsewhere, stops everything.

`, name, took.Seconds(), e.Data, fate, s.Pages, lab, s.Cells[0].Name, collector, config, port, names(s), s.DSN, latestQuery, pages)
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
