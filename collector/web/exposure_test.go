package web_test

import (
	"net/netip"
	"testing"

	"andon.internal/collector/web"
)

func TestWhoMustLogIn(t *testing.T) {
	const none, required = web.LoginNone, web.LoginRequired
	hosts := []string{"andon.plant.example"}
	proxy := []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}
	for _, tt := range []struct {
		name string
		e    web.Exposure
		asks bool
		key  string // at fault
	}{
		{"loopback", web.Exposure{Listen: "127.0.0.1:0"}, false, ""},
		{"localhost", web.Exposure{Listen: "localhost:0"}, false, ""},
		{"loopback of IPv6", web.Exposure{Listen: "[::1]:0", Login: none}, false, ""},
		{"loopback, by choice", web.Exposure{Listen: "127.0.0.1:0", Login: required}, true, ""},
		{"loopback in TLS", web.Exposure{Listen: "127.0.0.1:0", TLS: true}, false, ""},
		{"loopback behind a proxy", web.Exposure{Listen: "127.0.0.1:0", BehindProxy: proxy}, true, ""},
		{"loopback behind a proxy with a name", web.Exposure{Listen: "127.0.0.1:0", BehindProxy: proxy, Hosts: hosts}, true, ""},
		{"loopback behind a proxy without a login", web.Exposure{Listen: "127.0.0.1:0", BehindProxy: proxy, Login: none}, true, "login"},
		{"loopback with a name", web.Exposure{Listen: "127.0.0.1:0", Hosts: hosts}, true, "hosts"},
		{"loopback with a name, no login", web.Exposure{Listen: "127.0.0.1:0", Hosts: hosts, TLS: true, Login: none}, true, "login"},
		{"all addresses", web.Exposure{Listen: "0.0.0.0:0"}, true, "listen"},
		{"all addresses, by nothing", web.Exposure{Listen: ":0"}, true, "listen"},
		{"all addresses in TLS", web.Exposure{Listen: "0.0.0.0:0", TLS: true}, true, ""},
		{"all addresses behind a proxy", web.Exposure{Listen: "[::]:0", BehindProxy: proxy}, true, ""},
		{"all addresses without a login", web.Exposure{Listen: "0.0.0.0:0", TLS: true, Login: none}, true, "login"},
		{"an address", web.Exposure{Listen: "10.0.0.1:80", Login: none}, true, "listen"},
		{"a word", web.Exposure{Listen: "127.0.0.1:0", Login: "maybe"}, false, "login"},
		{"no address", web.Exposure{Listen: "nonsense"}, false, "listen"},
	} {
		asks, key, err := tt.e.Asks()
		if key != tt.key || (err == nil) != (tt.key == "") {
			t.Errorf("%s: fault at %q (%v), want at %q", tt.name, key, err, tt.key)
		}
		if err == nil && asks != tt.asks {
			t.Errorf("%s: a login is required is %v", tt.name, asks)
		}
	}
}

// TestNothingIsServedWithoutTheLoginItNeeds has a configuration that nobody checked.
func TestNothingIsServedWithoutTheLoginItNeeds(t *testing.T) {
	f := setUp(t)
	for name, c := range map[string]web.Config{
		"exposed":     {Exposure: web.Exposure{Listen: "0.0.0.0:0"}},
		"no desk":     {Exposure: web.Exposure{Listen: "127.0.0.1:0", Login: web.LoginRequired}},
		"no address":  {Exposure: web.Exposure{Listen: "nonsense"}},
		"plain names": {Exposure: web.Exposure{Hosts: []string{"andon.plant.example"}}},
	} {
		if _, err := web.New(c, f.sources()); err == nil {
			t.Errorf("%s: a web was made", name)
		}
	}
	if _, err := web.New(web.Config{}, web.Sources{}); err == nil {
		t.Error("a web without sources was made")
	}
	if err := web.CheckRoute(""); err == nil {
		t.Error("a route of which nobody said who may use it was taken")
	}
	if err := web.CheckRoute(web.Public); err != nil {
		t.Error(err)
	}
}
