package broker

import (
	"net"
	"testing"
)

// from is a connection that comes from an address.
type from struct {
	net.Conn
	net.TCPAddr
}

func (f from) RemoteAddr() net.Addr { return &f.TCPAddr }

// Whose connections are counted together.
func TestAddressOf(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.7:1883":               "10.0.0.7",
		"[::ffff:10.0.0.7]:1883":      "10.0.0.7",
		"[2001:db8:0:7:1:2:3:4]:1883": "2001:db8:0:7::/64",
		"[2001:db8:0:7::9]:1883":      "2001:db8:0:7::/64",
		"[fe80::1%eth0]:1883":         "fe80::/64",
		"127.0.0.1:1883":              "",
		"[::1]:1883":                  "",
	} {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := addressOf(from{TCPAddr: *a}); got != want {
			t.Errorf("%s is counted as %q, want %q", address, got, want)
		}
	}
}
