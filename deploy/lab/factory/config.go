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

func brokerConfig(listen, http string) doc {
	return doc{
		"listen", listen,
		"http",
		doc{"listen", http},
	}
}

func collectorConfig(broker, dsn, http string) doc {
	return doc{
		"mqtt",
		doc{"url", "tcp://" + broker},
		"database",
		doc{"dsn", dsn},
		"http",
		doc{"listen", http},
	}
}

func agentConfig(c Cell, data, broker, http string) doc {
	r := c.Replay
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
	return doc{
		"group", Group,
		"node", c.Name,
		"data", data,
		"mqtt",
		doc{"url", "tcp://" + broker},
		"sources",
		[]doc{{"name", "replay", "driver", "replay", "replay", replay}},
		"http",
		doc{"listen", http},
	}
}
