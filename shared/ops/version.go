package ops

import (
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// version is set by the release build:
//
//	go build -ldflags '-X andon.internal/shared/ops.version=v1.2.3'
var version string

// Build says which build this is.
type Build struct {
	Version  string // such as "v1.2.3"; "dev" where the build was given none
	Revision string // of the sources, 12 characters, with "+changes" where they were edited; may be empty
	Go       string // the toolchain
	Platform string // such as "linux/arm64"
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
	}
	if b.Version == "" {
		b.Version = "dev"
	}
	return b
})

// Version is the short form that travels: in births, in log lines, on pages.
func Version() string { return BuildInfo().Version }

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
