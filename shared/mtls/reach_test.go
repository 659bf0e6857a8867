package mtls_test

import (
	"strings"
	"testing"

	"andon.internal/shared/mtls"
)

func TestCheckReach(t *testing.T) {
	for _, c := range []struct {
		host           string
		tls, plaintext bool
		want           string // in the error; "": none
	}{
		{"127.0.0.1", false, false, ""},
		{"127.8.8.8", false, false, ""},
		{"::1", false, false, ""},
		{"localhost", false, false, ""},
		{"", false, false, "beyond this machine"},
		{"0.0.0.0", false, false, "beyond this machine"},
		{"::", false, false, "beyond this machine"},
		{"10.0.0.5", false, false, "andon-broker ca"},
		{"broker.plant.example", false, false, "plaintext: true"},
		{"localhost.plant.example", false, false, "beyond this machine"},
		{"127.0.0.1.plant.example", false, false, "beyond this machine"},
		{"10.0.0.5", true, false, ""},
		{"10.0.0.5", false, true, ""},
		{"127.0.0.1", true, true, "contradicts"},
	} {
		err := mtls.CheckReach(c.host, c.tls, c.plaintext)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, TLS %v, plaintext %v: %v, want %q", c.host, c.tls, c.plaintext, err, c.want)
		}
	}
}
