package ops

import (
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// version is set by the release build:
//
//	go build -ldflags '-X andon.internal/shared/ops.version=v1.2.3'
var version string

// built is the time of the sources, set by the release build too, in RFC 3339.
var built string

// Build says which build this is.
type Build struct {
	Version  string // such as "v1.2.3"; "dev" where the build was given none
	Revision string // of the sources, 12 characters, with "+changes" where they were edited; may be empty
	Go       string // the toolchain
	Platform string // such as "linux/arm64"
	// Time is when the sources were committed, which is before the build: no clock can
	// truly be behind it. Zero where the build was not told.
	Time time.Time
}

// BuildInfo returns the build of the running program.
var BuildInfo = sync.OnceValue(func() Build {
	b := Build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; b.Version == "" && v != "" && v != "(devel)" {
			b.Version = v
		}
		settings := map[string]string{}
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		b.Revision = settings["vcs.revision"]
		b.Revision = b.Revision[:min(len(b.Revision), 12)]
		if settings["vcs.modified"] == "true" {
			b.Revision += "+changes"
		}
		b.Time = firstTime(built, settings["vcs.time"])
	}
	if b.Version == "" {
		b.Version = "dev"
	}
	return b
})

// firstTime returns the first of the texts that is a time in RFC 3339, or the zero time.
func firstTime(texts ...string) time.Time {
	for _, text := range texts {
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// Version is the short form that travels: in births, in log lines, on pages.
func Version() string { return BuildInfo().Version }

// started is when the process was, by its own clock.
var started = time.Now()

// Now is the system's time, or that of the build where the system's is before it: a clock
// that was never set. Then it runs on from there. Certificates are judged by it.
func Now() time.Time {
	return notBefore(BuildInfo().Time, time.Now(), time.Since(started))
}

// notBefore returns now, or the time of the build and what has passed since the start.
func notBefore(built, now time.Time, up time.Duration) time.Time {
	if now.Before(built) {
		return built.Add(up)
	}
	return now
}

// String is what --version prints behind the program's name.
func (b Build) String() string {
	parts := []string{b.Version}
	if b.Revision != "" {
		parts = append(parts, b.Revision)
	}
	return strings.Join(append(parts, b.Go, b.Platform), " ")
}

// NewRegistry returns a registry that holds the Go runtime's and the process's
// metrics and andon_build_info.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	b := BuildInfo()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "andon_build_info",
		Help:        "1, with the build as labels.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "go_version": b.Go},
	})
	info.Set(1)
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		info,
	)
	return reg
}
