package collector_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"andon.internal/collector"
	"andon.internal/shared/config"
	"andon.internal/shared/config/configtest"
)

// TestExampleExplainsEveryKey reads the example that is delivered: it loads, says the
// defaults where it says so, and a key that it does not explain fails.
func TestExampleExplainsEveryKey(t *testing.T) {
	const example = "../deploy/cloud/collector.yaml"
	c, err := collector.Load(example)
	if err != nil {
		t.Fatal(err)
	}
	want := collector.DefaultConfig()
	// These say that they are not the defaults.
	want.Database.Plaintext = c.Database.Plaintext
	want.MQTT, want.Database.DSNFrom, want.HTTP = c.MQTT, c.Database.DSNFrom, c.HTTP
	want.Web.Listen, want.Web.BehindProxy, want.Web.Hosts, want.Log = c.Web.Listen, c.Web.BehindProxy, c.Web.Hosts, c.Log
	if !reflect.DeepEqual(c, want) {
		t.Errorf("%s reads as\n%+v, which are not the defaults\n%+v", example, c, want)
	}
	configtest.Example(t, example, c)
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	enabled := strings.Replace(configtest.Enable(string(text)), "dsn_from: ", "# ", 1) // one of two
	if err := config.Decode("everything in force", []byte(enabled), new(collector.Config)); err != nil {
		t.Error(err)
	}
}
