package factory

import "go.yaml.in/yaml/v3"

// ParseMetrics is parseMetrics, for tests.
var ParseMetrics = parseMetrics

// AgentYAML is the configuration that a cell is given.
func AgentYAML(c Cell, data, broker, http string) (string, error) {
	b, err := yaml.Marshal(agentConfig(c, data, broker, http, certificate{}))
	return string(b), err
}
