package registrar_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"andon.internal/broker/registrar"
	"andon.internal/shared/enroll"
)

func TestBounds(t *testing.T) {
	s := start(t, nil)
	status, _, f := s.post(s.client(), enroll.EnrollPath, enroll.Request{CSR: strings.Repeat("x", enroll.MaxBody)})
	s.expect("a long body", status, f, enroll.BadRequest)
	status, _, f = s.post(s.client(), enroll.EnrollPath, `{"secret":`)
	s.expect("half a body", status, f, enroll.BadRequest)
	key := newKey(t)
	for n := range registrar.MaxStrikes {
		bad := enroll.Token{Secret: enroll.Secret{byte(n)}}
		status, _, f = s.post(s.client(), enroll.EnrollPath, enroll.Request{Secret: bad.Secret.Reveal(), CSR: csr(t, key)})
		s.expect("a guess", status, f, enroll.BadToken)
	}
	good := enroll.Request{Secret: s.token().Secret.Reveal(), CSR: csr(t, key)}
	status, _, f = s.post(s.client(), enroll.EnrollPath, good)
	s.expect("after too many guesses", status, f, enroll.TooMany)
	for _, path := range []string{"/", "/v1/enroll", "/v1/other"} {
		resp, err := s.client().Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("GET %s answers %d", path, resp.StatusCode)
		}
	}
	old := s.client()
	old.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS12
	if resp, err := old.Get(s.url + enroll.CRLPath); err == nil {
		resp.Body.Close()
		t.Error("TLS 1.2 is answered")
	}
}

// TestWhoSaysNothingIsCutOff: before and behind the handshake, and in the middle of a body.
func TestWhoSaysNothingIsCutOff(t *testing.T) {
	s := start(t, nil)
	address := strings.TrimPrefix(s.url, "https://")
	trust := s.client().Transport.(*http.Transport).TLSClientConfig
	trust.ServerName = "127.0.0.1"
	var all sync.WaitGroup
	for name, say := range map[string]func(net.Conn) (net.Conn, error){
		"nothing": func(c net.Conn) (net.Conn, error) { return c, nil },
		"a handshake": func(c net.Conn) (net.Conn, error) {
			secured := tls.Client(c, trust)
			return secured, secured.Handshake()
		},
		"half a request": func(c net.Conn) (net.Conn, error) {
			secured := tls.Client(c, trust)
			_, err := secured.Write([]byte("POST /v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"))
			return secured, err
		},
	} {
		all.Go(func() {
			raw, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer raw.Close()
			c, err := say(raw)
			if err != nil {
				t.Error(err)
				return
			}
			_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("whoever says %s still has a connection after 20 s", name)
			}
		})
	}
	all.Wait()
}

func TestStrikes(t *testing.T) {
	s := registrar.NewStrikes()
	now := time.Now()
	address := func(n int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 32)
	}
	for range registrar.MaxStrikes {
		registrar.Add(s, address(1), now)
	}
	if !registrar.Out(s, address(1), now) || registrar.Out(s, address(2), now) {
		t.Error("the strikes of one address are those of another")
	}
	for n := range 3 * registrar.MaxAddresses {
		registrar.Add(s, address(n), now)
	}
	if !registrar.Out(s, address(9*registrar.MaxAddresses), now) {
		t.Error("beyond the addresses that are remembered there is no bound")
	}
	if registrar.Out(s, address(1), now.Add(registrar.StrikeWindow)) {
		t.Error("strikes are never forgotten")
	}
}
