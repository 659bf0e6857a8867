package agent_test

import (
	"os"
	"testing"

	"andon.internal/agent"
	"andon.internal/shared/config"
	"andon.internal/shared/config/configtest"
)

// TestExampleExplainsEveryKey reads the example that is delivered: it loads, says the
// defaults where it says so, and a key that it does not explain fails.
func TestExampleExplainsEveryKey(t *testing.T) {
	const example = "../deploy/edge/agent.yaml"
	c, err := agent.Load(example)
	if err != nil {
		t.Fatal(err)
	}
	if c.Buffer != agent.DefaultConfig().Buffer {
		t.Errorf("%s: buffer is %+v, which is not the default", example, c.Buffer)
	}
	configtest.Example(t, example, c)
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	all := agent.DefaultConfig()
	if err := config.Decode("everything in force", []byte(configtest.Enable(string(text))), &all); err != nil {
		t.Error(err)
	}
	if len(all.Sources) != 2 || len(all.Sources[0].Simulated.Faults) != 1 || all.Sources[1].Replay == nil {
		t.Errorf("what is commented out reads as %+v", all.Sources)
	}
}
