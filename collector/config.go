package collector

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"andon.internal/collector/host"
	"andon.internal/collector/login"
	"andon.internal/collector/oidc"
	"andon.internal/shared/config"
	"andon.internal/shared/mtls"
	"andon.internal/shared/ops"
	"andon.internal/shared/profiles"
	"andon.internal/shared/rules"
	"andon.internal/shared/sentinel"
	"andon.internal/shared/telemetry"
)

// Config is the collector's configuration file.
type Config struct {
	// HostID is the Sparkplug host id: the last level of the STATE topic. All
	// collectors of one plant share it; andon.
	HostID string `yaml:"host_id"`
	// Roles are what this process does; [intake, sentinel, web].
	Roles []string `yaml:"roles"`
	// MQTT is the broker.
	MQTT MQTTConfig `yaml:"mqtt"`
	// Database is the plant's PostgreSQL.
	Database DatabaseConfig `yaml:"database"`
	// Profiles are files or folders with profiles beside the built-in ones. Only
	// readings of these are stored.
	Profiles []config.Path `yaml:"profiles"`
	// Rules are files or folders with alarm rules beside the built-in ones; a rule
	// takes the place of the built-in one of the same alarm.
	Rules []config.Path `yaml:"rules"`
	// Retention is how long readings are kept; older ones are quarantined when they
	// come and their days are dropped. 0 keeps everything; 0s.
	Retention time.Duration `yaml:"retention"`
	// Intake bounds the way from the broker to the database.
	Intake IntakeConfig `yaml:"intake"`
	// Web is the command center, of the role web.
	Web WebConfig `yaml:"web"`
	// HTTP serves /healthz, /readyz and /metrics; listen: 127.0.0.1:0.
	HTTP ops.HTTPConfig `yaml:"http"`
	// Log is what is written to stderr.
	Log ops.LogConfig `yaml:"log"`
}

// MQTTConfig is the part `mqtt:` of a configuration.
type MQTTConfig struct {
	// URL is the broker's address, mqtts:// with TLS; tcp://127.0.0.1:1883.
	URL string `yaml:"url"`
	// TLS is who the collector is, and which authority it trusts.
	TLS mtls.Config `yaml:"tls"`
	// Plaintext allows a broker beyond loopback without TLS: for an isolated network of
	// one machine, such as that of its containers.
	Plaintext bool `yaml:"plaintext"`
}

// Check reports an address that cannot be used.
func (c *MQTTConfig) Check() error {
	err := host.CheckURL(c.URL, c.TLS.On())
	if u, parsed := url.Parse(c.URL); err == nil && parsed == nil {
		err = mtls.CheckReach(u.Hostname(), c.TLS.On(), c.Plaintext)
	}
	return config.At("url", err)
}

// exposed reports whether readings and commands leave the machine without TLS.
func (c *MQTTConfig) exposed() bool {
	u, err := url.Parse(c.URL)
	return err == nil && !c.TLS.On() && !ops.Local(u.Hostname())
}

// certificates opens the files that tls names; nil without TLS.
func (c *MQTTConfig) certificates(log *slog.Logger) (*mtls.Store, error) {
	return mtls.OpenIf(c.TLS, mtls.Options{Logger: log})
}

// IntakeConfig is the part `intake:` of a configuration.
type IntakeConfig struct {
	// Queue bounds the bytes of memory that hold what is received and not yet
	// committed; 64MiB.
	Queue config.Size `yaml:"queue"`
	// Writers is how many transactions run at a time; 2.
	Writers int `yaml:"writers"`
	// Flush is the shortest time between the starts of two transactions of a
	// writer, so that under load each carries many records. When nothing is under
	// way a record is written at once; 20ms.
	Flush time.Duration `yaml:"flush"`
}

// Check reports bounds that cannot work.
func (c *IntakeConfig) Check() error {
	var errs []error
	if c.Queue < 1<<20 || c.Queue > 16<<30 {
		errs = append(errs, config.At("queue", errors.New("must be from 1MiB to 16GiB")))
	}
	if c.Writers < 1 || c.Writers > 64 {
		errs = append(errs, config.At("writers", errors.New("must be from 1 to 64")))
	}
	if c.Flush <= 0 || c.Flush > time.Second {
		errs = append(errs, config.At("flush", errors.New("must be above 0 and at most 1s")))
	}
	return errors.Join(errs...)
}

// The roles. Each can run in a process of its own.
const (
	RoleIntake   = "intake"   // brings messages into the database
	RoleSentinel = "sentinel" // runs the rules and keeps the alarms
	RoleWeb      = "web"      // serves the command center
)

// Roles returns every role there is.
func Roles() []string { return []string{RoleIntake, RoleSentinel, RoleWeb} }

// DefaultConfig returns the documented defaults. The database has none.
func DefaultConfig() Config {
	return Config{
		HostID:   "andon",
		Roles:    Roles(),
		MQTT:     MQTTConfig{URL: "tcp://127.0.0.1:1883"},
		Database: DatabaseConfig{MaxConns: 8, Migrate: true},
		Intake:   IntakeConfig{Queue: 64 << 20, Writers: 2, Flush: 20 * time.Millisecond},
		Web: WebConfig{
			Listen: "127.0.0.1:8080", MaxClients: 64,
			Session: SessionConfig{Idle: login.DefaultIdle, Absolute: login.DefaultAbsolute},
			OIDC:    oidc.DefaultConfig(),
		},
		HTTP: ops.HTTPConfig{Listen: "127.0.0.1:0"},
	}
}

// Load reads a configuration file over the defaults. Its error names every fault.
func Load(path string) (Config, error) {
	c := DefaultConfig()
	if err := config.Load(path, &c); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Check reports what no part can see alone.
func (c *Config) Check() error {
	errs := []error{
		config.At("host_id", telemetry.CheckID("host", c.HostID)),
		config.At("roles", CheckRoles(c.Roles)),
	}
	if c.Retention < 0 {
		errs = append(errs, config.At("retention", errors.New("must not be negative")))
	}
	// Each writer, the lease, the upkeep of partitions, and the journal need one.
	if need := c.Intake.Writers + 3; c.Database.MaxConns < need {
		errs = append(errs, config.At("database.max_conns", fmt.Errorf("must be at least %d: intake.writers and 3 more", need)))
	}
	return errors.Join(errs...)
}

// CheckRoles reports an unknown role, or none at all.
func CheckRoles(roles []string) error {
	if len(roles) == 0 {
		return fmt.Errorf("at least one of the roles %v is required", Roles())
	}
	for _, r := range roles {
		if !slices.Contains(Roles(), r) {
			return fmt.Errorf("role %q is none of %v", r, Roles())
		}
	}
	return nil
}

// rules returns the built-in rules and the operator's.
func (c *Config) rules() (*sentinel.Rules, error) {
	list, err := c.profiles()
	if err != nil {
		return nil, err
	}
	r, err := rules.All(c.Rules, list)
	if err != nil {
		return nil, fmt.Errorf("load rules: %w", err)
	}
	return r, nil
}

// CheckRules reads a rule file with the profiles of a configuration and returns the
// names of its alarms.
func CheckRules(c Config, path string) ([]string, error) {
	list, err := c.profiles()
	if err != nil {
		return nil, err
	}
	r, err := rules.Load(path, list)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, rule := range r.List() {
		names = append(names, rule.Alarm)
	}
	return names, nil
}

// profiles returns the built-in profiles and the operator's.
func (c *Config) profiles() ([]*telemetry.Profile, error) {
	list, err := profiles.All(c.Profiles)
	if err != nil {
		return nil, fmt.Errorf("load profiles: %w", err)
	}
	return list, nil
}
