package factory

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"
)

// doc is a configuration file, or a part of one, with its keys in the order given.
type doc []any

// MarshalYAML writes pairs of key and value as a mapping.
func (d doc) MarshalYAML() (any, error) {
	node := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i+1 < len(d); i += 2 {
		var key, value yaml.Node
		if err := key.Encode(d[i]); err != nil {
			return nil, err
		}
		if err := value.Encode(d[i+1]); err != nil {
			return nil, err
		}
		node.Content = append(node.Content, &key, &value)
	}
	return node, nil
}

// write puts a configuration where its process finds it.
func (d doc) write(path string) error {
	b, err := yaml.Marshal(d)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// certificate names the files of one process: its pair, and the authority. The zero
// certificate is no TLS.
type certificate struct{ dir, name string }

func (c certificate) path(file string) string { return filepath.Join(c.dir, file) }

// config is the part tls of a configuration.
func (c certificate) config() doc {
	return doc{
		"ca", c.path("ca.crt"), "cert", c.path(c.name + ".crt"), "key", c.path(c.name + ".key"), "crl", c.path("revoked.crl"),
	}
}

// mqtt is the part mqtt of a configuration.
func (c certificate) mqtt(broker string) doc {
	if c.dir == "" {
		return doc{"url", "tcp://" + broker}
	}
	return doc{"url", "mqtts://" + broker, "tls", c.config()}
}

func brokerConfig(listen, http string, c certificate) doc {
	d := doc{
		"listen", listen,
		"http",
		doc{"listen", http},
	}
	if c.dir != "" {
		d = append(d, "tls", c.config())
	}
	return d
}

// collectorConfig is that of a collector with some of the roles; without any, of one
// with all.
func collectorConfig(broker, dsn, pages, http string, c certificate, roles ...string) doc {
	d := doc{
		"mqtt",
		c.mqtt(broker),
		"database",
		doc{"dsn", dsn, "plaintext", true}, // where it is not loopback, the network is the lab's own
		"web",
		doc{"listen", pages, "site", "lab"},
		"http",
		doc{"listen", http},
	}
	if len(roles) > 0 {
		d = append(d, "roles", roles)
	}
	return d
}

func agentConfig(c Cell, data, broker, http string, own certificate) doc {
	sources := []doc{{"name", "replay", "driver", "replay", "replay", c.Replay.config()}}
	if c.Dynos.Stations > 0 {
		sources[0] = doc{"name", "dynos", "driver", "simulated", "simulated", c.Dynos.config()}
	}
	if c.Live.File != "" {
		sources = append(sources, doc{"name", "live", "driver", "replay", "replay", c.Live.config()})
	}
	d := doc{
		"group", c.group(),
		"node", c.Name,
		"data", data,
		"mqtt",
		own.mqtt(broker),
		"sources",
		sources,
		"http",
		doc{"listen", http},
	}
	if b := c.Buffer.config(); len(b) > 0 {
		d = append(d, "buffer", b)
	}
	return d
}

func (b Buffer) config() doc {
	var out doc
	if b.MaxDisk != "" {
		out = append(out, "max_disk", b.MaxDisk)
	}
	if b.Write != "" {
		out = append(out, "write", b.Write)
	}
	if b.Retain > 0 {
		out = append(out, "retain", b.Retain.String())
	}
	return out
}

func (d Dynos) config() doc {
	out := doc{"stations", d.Stations}
	if d.First > 0 {
		out = append(out, "first", d.First)
	}
	if d.Rate > 0 {
		out = append(out, "rate", d.Rate)
	}
	if d.Seed > 0 {
		out = append(out, "seed", d.Seed)
	}
	if d.Programme > 0 {
		out = append(out, "programme", d.Programme.String())
	}
	if d.Idle > 0 {
		out = append(out, "idle", d.Idle.String())
	}
	return out
}

func (r Replay) config() doc {
	replay := doc{"file", r.File, "format", "cmapss", "profile", "turbofan"}
	if r.Profile != "" {
		replay[5] = r.Profile
	}
	add := func(key string, value any) { replay = append(replay, key, value) }
	if r.UnitPrefix != "" {
		add("unit_prefix", r.UnitPrefix)
	}
	if r.Period > 0 {
		add("period", r.Period.String())
	}
	if r.Speed != "" {
		// A factor is a number in the file, not a text.
		add("speed", &yaml.Node{Kind: yaml.ScalarNode, Value: r.Speed})
	}
	if r.Loop {
		add("loop", true)
	}
	if !r.Start.IsZero() {
		add("start", &yaml.Node{Kind: yaml.ScalarNode, Value: r.Start.UTC().Format(time.RFC3339Nano)})
	}
	return replay
}
