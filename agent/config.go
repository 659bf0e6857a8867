package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon.internal/agent/buffer"
	"andon.internal/agent/clock"
	"andon.internal/agent/identity"
	"andon.internal/agent/uplink"
	"andon.internal/shared/config"
	"andon.internal/shared/mtls"
	"andon.internal/shared/ops"
	"andon.internal/shared/telemetry"
)

// Config is agent.yaml. Start from [DefaultConfig].
type Config struct {
	// Group and Node name the cell: the site and line, such as austin-line1, and the
	// cell in it, such as cell-07. No other agent may use both.
	Group string `yaml:"group,required"`
	Node  string `yaml:"node,required"`
	// Data is the folder for what must survive: the buffer and the agent's state. It
	// belongs to one agent at a time.
	Data config.Path `yaml:"data,required"`

	MQTT   MQTTConfig   `yaml:"mqtt"`
	Buffer BufferConfig `yaml:"buffer"`

	// Profiles are files and folders of profiles beside the built-in dyno and turbofan.
	Profiles []config.Path `yaml:"profiles"`
	// Rules are files or folders with alarm rules beside the built-in ones, as the
	// collector has them. What lies around an alarm is kept longest where the buffer is full.
	Rules   []config.Path  `yaml:"rules"`
	Sources []SourceConfig `yaml:"sources"`

	HTTP ops.HTTPConfig `yaml:"http"` // 127.0.0.1:0
	Log  ops.LogConfig  `yaml:"log"`

	Logger   *slog.Logger         // nil: nothing is logged
	Registry *prometheus.Registry // nil: a new one

	// BufferChild is the command line of a process that calls [buffer.Child], with which
	// files of the buffer are looked at that were not closed; nil: the agent does it itself.
	BufferChild []string

	diskPatience time.Duration // for the disk at the start; 0: startPatience

	// Clock reads the machine's clocks, for all that is stamped and for what certificates are
	// judged by. How long something takes is measured without it. nil: clock.Now.
	Clock func() clock.Time
}

// MQTTConfig says where the broker is.
type MQTTConfig struct {
	URL string `yaml:"url,required"` // such as tcp://127.0.0.1:1883; mqtts:// with TLS
	// TLS is who the cell is, and which authority it trusts.
	TLS mtls.Config `yaml:"tls"`
	// Plaintext allows a broker beyond loopback without TLS: for an isolated network of
	// one machine.
	Plaintext bool `yaml:"plaintext"`
	// Enroll is where the cell gets its certificate, and renews it.
	Enroll EnrollConfig `yaml:"enroll"`
	// BacklogShare is the most of the window that readings of the past have while fresh
	// ones are sent too, from 0.05 to 0.95: 0.5.
	BacklogShare float64 `yaml:"backlog_share"`
	// MaxRate bounds what is sent, in bytes a second, for a thin link that others use too:
	// 0B, no bound. Fresh readings go first; at least 4KiB.
	MaxRate config.Size `yaml:"max_rate"`
	// PrimaryHost is the host_id of a collector without which the cell announces
	// nothing. Empty: it does not wait, and buffers what nobody acknowledges.
	PrimaryHost string `yaml:"primary_host"`
}

// EnrollConfig says where the authority's service is.
type EnrollConfig struct {
	// URL is that of andon-broker ca serve, such as https://ca.plant.example:8884. With it
	// the agent renews its certificate at two thirds of its life; tls.cert and tls.key are
	// then one file, which is replaced.
	URL string `yaml:"url"`
}

// BufferConfig says how readings are kept until PostgreSQL has them.
type BufferConfig struct {
	// Linger is how long a reading may be in memory only: 100ms. A power cut takes at
	// most that and the time of one sync.
	Linger time.Duration `yaml:"linger"`
	// Write is behind (the default: sent at once, written when not acknowledged
	// within linger) or ahead (on disk before it is sent).
	Write string `yaml:"write"`
	// Retain keeps acknowledged readings this long, so that a database restored from a
	// backup can be refilled: 0s. It implies write: ahead.
	Retain time.Duration `yaml:"retain"`
	// MaxDisk is what the buffer's files may take: 1GiB; at least 8MiB.
	MaxDisk config.Size `yaml:"max_disk"`
	// Policy is what is lost when the files are full and nobody acknowledges: drop-oldest
	// (the default), drop-newest, or thin, which keeps one of ThinKeep of the readings of
	// the past and all new ones. A source that can be read again waits instead.
	Policy string `yaml:"policy"`
	// ThinKeep keeps one record of so many under policy thin: 10; at least 2.
	ThinKeep int `yaml:"thin_keep"`
	// Quota is the part of max_disk that readings may take, from 0.5 to 0.9: 0.85. The rest
	// is for alarms, for what tells of losses, and for the pages that deletes need.
	Quota float64 `yaml:"quota"`
	// MaxMemory is what records may take in memory: 16MiB; at least 1MiB.
	MaxMemory config.Size `yaml:"max_memory"`
	// Endurance is how many bytes may be written to the card or disk before it wears out,
	// for the projection of its life: 8TiB.
	Endurance config.Size `yaml:"endurance"`
}

// SourceConfig is one place that readings come from. The key that is named like the
// driver holds the driver's own settings.
type SourceConfig struct {
	// Name is an id that stays: the source's place in its file is kept under it.
	Name      string           `yaml:"name,required"`
	Driver    string           `yaml:"driver,required"` // replay, simulated
	Replay    *ReplayConfig    `yaml:"replay"`
	Simulated *SimulatedConfig `yaml:"simulated"`
}

// The ways to write of a BufferConfig.
const (
	writeBehind = "behind"
	writeAhead  = "ahead"
)

// DefaultConfig returns the documented defaults.
func DefaultConfig() Config {
	return Config{
		Buffer: BufferConfig{
			Linger: 100 * time.Millisecond, Write: writeBehind,
			MaxDisk: 1 << 30, Policy: buffer.DropOldest.String(), ThinKeep: 10, Quota: 0.85, MaxMemory: 16 << 20, Endurance: 8 << 40,
		},
		MQTT: MQTTConfig{BacklogShare: 0.5},
		HTTP: ops.HTTPConfig{Listen: "127.0.0.1:0"},
	}
}

// Load reads an agent.yaml over the defaults. The error names every fault with its line.
func Load(path string) (Config, error) {
	c := DefaultConfig()
	err := config.Load(path, &c)
	return c, err
}

// Check returns the faults of what is not checked by a part of its own, joined.
func (c *Config) Check() error {
	errs := []error{
		config.At("group", telemetry.CheckID("group", c.Group)),
		config.At("node", telemetry.CheckID("node", c.Node)),
	}
	if c.Data == "" {
		errs = append(errs, config.At("data", errors.New("must name a folder")))
	}
	first := map[string]int{}
	for i, s := range c.Sources {
		if at, taken := first[s.Name]; taken {
			errs = append(errs, config.At(fmt.Sprintf("sources[%d].name", i),
				fmt.Errorf("%q is also the name of sources[%d]", s.Name, at)))
			continue
		}
		first[s.Name] = i
	}
	return errors.Join(errs...)
}

// checkAll is what config.Load checks, for a Config that was not loaded.
func (c *Config) checkAll() error {
	errs := []error{c.Check(), c.MQTT.Check(), c.Buffer.Check(), c.HTTP.Check(), c.Log.Check()}
	for i := range c.Sources {
		errs = append(errs, c.Sources[i].Check())
		if r := c.Sources[i].Replay; r != nil {
			errs = append(errs, r.Check())
		}
	}
	return errors.Join(errs...)
}

// Check returns every fault of the broker's address, joined.
func (m *MQTTConfig) Check() error {
	var errs []error
	if u, err := url.Parse(m.URL); err != nil || u.Port() == "" {
		errs = append(errs, config.At("url", fmt.Errorf("%s must be like tcp://127.0.0.1:1883", mtls.ShowURL(m.URL))))
	} else if err := mtls.CheckURL(u, m.TLS.On()); err != nil {
		errs = append(errs, config.At("url", err))
	} else if err := mtls.CheckReach(u.Hostname(), m.TLS.On(), m.Plaintext); err != nil {
		errs = append(errs, config.At("url", err))
	}
	if m.Enroll.URL != "" {
		if err := identity.CheckURL(m.Enroll.URL); err != nil {
			errs = append(errs, config.At("enroll.url", err))
		}
		if m.TLS.Cert == "" || m.TLS.Cert != m.TLS.Key {
			errs = append(errs, config.At("enroll.url", errors.New(
				"needs tls.cert and tls.key to name one file, which is replaced as a whole: a crash must not leave a certificate beside the key of another")))
		}
	}
	if least := uplink.MinBacklogShare; m.BacklogShare < least || m.BacklogShare > 1-least {
		errs = append(errs, config.At("backlog_share", fmt.Errorf("must be from %v to %v", least, 1-least)))
	}
	if m.MaxRate < 0 || m.MaxRate > 0 && m.MaxRate < minRate {
		errs = append(errs, config.At("max_rate", fmt.Errorf("must be %v a second or more, or 0B for no bound", config.Size(minRate))))
	}
	if m.PrimaryHost != "" {
		errs = append(errs, config.At("primary_host", telemetry.CheckID("host", m.PrimaryHost)))
	}
	return errors.Join(errs...)
}

// exposed reports whether readings leave the machine without TLS.
func (m *MQTTConfig) exposed() bool {
	u, err := url.Parse(m.URL)
	return err == nil && !m.TLS.On() && !ops.Local(u.Hostname())
}

// Bounds of a buffer's limits. A record has up to 256 KiB, four must fit into memory and
// into a record file, and eight files onto the disk.
const (
	minDisk   = 8 << 20
	minMemory = 1 << 20
	minRate   = 4 << 10 // a second; less would not carry the heartbeats
)

// Check returns every fault of the buffer's settings, joined.
func (b *BufferConfig) Check() error {
	var errs []error
	if b.Linger <= 0 || b.Linger > time.Minute {
		errs = append(errs, config.At("linger", errors.New("must be above 0s and at most 1m")))
	}
	if b.Write != writeBehind && b.Write != writeAhead {
		errs = append(errs, config.At("write", fmt.Errorf("%q is none of behind, ahead", b.Write)))
	}
	if b.Retain < 0 {
		errs = append(errs, config.At("retain", errors.New("must not be negative")))
	}
	if b.MaxDisk < minDisk {
		errs = append(errs, config.At("max_disk", fmt.Errorf("must be %v or more", config.Size(minDisk))))
	}
	if _, err := buffer.ParsePolicy(b.Policy); err != nil {
		errs = append(errs, config.At("policy", err))
	}
	if b.ThinKeep < 2 {
		errs = append(errs, config.At("thin_keep", errors.New("must be 2 or more")))
	}
	if !(b.Quota >= buffer.MinQuota && b.Quota <= buffer.MaxQuota) {
		errs = append(errs, config.At("quota", fmt.Errorf("must be from %v to %v", buffer.MinQuota, buffer.MaxQuota)))
	}
	if b.MaxMemory < minMemory {
		errs = append(errs, config.At("max_memory", fmt.Errorf("must be %v or more", config.Size(minMemory))))
	}
	if b.Endurance <= 0 {
		errs = append(errs, config.At("endurance", errors.New("must be above 0")))
	}
	return errors.Join(errs...)
}
