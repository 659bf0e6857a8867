package broker_test

import (
	"testing"

	"andon.internal/broker"
	"andon.internal/shared/config/configtest"
)

// TestExampleExplainsEveryKey reads the example that is delivered: it loads, says the
// defaults where it says so, and a key that it does not explain fails.
func TestExampleExplainsEveryKey(t *testing.T) {
	const example = "../deploy/cloud/broker.yaml"
	c, err := broker.Load(example)
	if err != nil {
		t.Fatal(err)
	}
	if c.Limits != broker.DefaultConfig().Limits {
		t.Errorf("%s: limits are %+v, which are not the defaults", example, c.Limits)
	}
	configtest.Example(t, example, c)
}
