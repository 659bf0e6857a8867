package configtest_test

import (
	"slices"
	"testing"
	"time"

	"andon.internal/shared/config"
	"andon.internal/shared/config/configtest"
)

type file struct {
	Name    string        `yaml:"name,required"`
	Linger  time.Duration `yaml:"linger"`
	Start   time.Time     `yaml:"start"`
	Token   config.Secret `yaml:"token"`
	Sources []struct {
		ID     string `yaml:"id"`
		Replay *struct {
			Speed float64 `yaml:"speed"`
		} `yaml:"replay"`
	} `yaml:"sources"`
	Logger any
}

const good = `# The name of it.
name: x

linger: 5s # how long

# When it begins. This note: is not a key.
#start: 2026-01-02T03:04:05Z

# Where it lies.
#token: {file: token}

# Where from.
sources:
# An id that stays.
- id: a
# Another kind:
#- id: b
#  # Read again.
#  replay:
#    speed: 2.5 # a factor
`

func TestFaults(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"good", good, nil},
		{"empty", "", []string{
			"linger is not there", "name is not there", "sources is not there", "sources.id is not there",
			"sources.replay is not there", "sources.replay.speed is not there", "start is not there", "token is not there",
		}},
		{"missing, unexplained, unknown", `# Explained.
name: x
linger: 5s
#begin: x
token: {env: X}
# Sources.
sources:
- id: a
  replay: {speed: 1}
`, []string{
			"begin is no key of the configuration", "linger has no explanation, above or beside it", "sources.id has no explanation, above or beside it",
			"sources.replay has no explanation, above or beside it", "sources.replay.speed has no explanation, above or beside it",
			"start is not there", "token has no explanation, above or beside it",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := configtest.Faults(tt.text, &file{})
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
		})
	}
	if got, err := configtest.Faults("name: x\n#   bad: [\n#bad: [\n", file{}); err == nil {
		t.Errorf("what is no YAML gives %q", got)
	}
}
