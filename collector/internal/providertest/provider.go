package providertest

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"andon.internal/shared/freeport"
)

//go:embed portal.psgi
var portal []byte

// Client is a relying party that the provider knows.
type Client struct {
	ID          string
	Secret      string // none: a public client
	RedirectURL string
	LogoutURL   string        // where to after a logout
	TokenLife   time.Duration // of ID tokens; an hour
	Sparse      bool          // name, mail and groups come from userinfo alone
	Algorithm   string        // of ID tokens; RS256
}

// Provider is an identity provider. The test's end stops it.
type Provider struct {
	t       testing.TB
	dir     string
	clients []Client
	port    int // of the portal, behind the front
	address string
	keys    int

	process *exec.Cmd
	ended   chan struct{}
	output  *bytes.Buffer

	mu    sync.Mutex
	front *httptest.Server
	alter func(http.Handler) http.Handler
}

// Start starts a provider that knows the clients.
func Start(t testing.TB, clients ...Client) *Provider {
	t.Helper()
	p := &Provider{t: t, dir: t.TempDir(), clients: clients, port: takePort(t)}
	p.address = net.JoinHostPort("127.0.0.1", strconv.Itoa(takePort(t)))
	for _, d := range []string{"conf", "sessions", "persistent", "lock", "cache"} {
		if err := os.Mkdir(filepath.Join(p.dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p.write("portal.psgi", portal)
	p.writeKey()
	p.Up()
	t.Cleanup(p.Down)
	p.write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.front.Certificate().Raw}))
	t.Cleanup(func() { p.kill() })
	p.launch()
	return p
}

func takePort(t testing.TB) int {
	t.Helper()
	port, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Issuer is the provider's URL, as it names itself.
func (p *Provider) Issuer() string { return "https://" + p.address + "/" }

// CA is the file with the authority of the provider's certificate.
func (p *Provider) CA() string { return filepath.Join(p.dir, "ca.pem") }

// Pool is what CA holds.
func (p *Provider) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	data, err := os.ReadFile(p.CA())
	if err != nil || !pool.AppendCertsFromPEM(data) {
		p.t.Fatalf("read %s: %v", p.CA(), err)
	}
	return pool
}

// Up opens the front.
func (p *Provider) Up() {
	l, err := net.Listen("tcp4", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port))})
	proxy.Transport = &http.Transport{DisableKeepAlives: true}
	// The product wants a domain for its cookies, and an address has none for a browser.
	proxy.ModifyResponse = func(resp *http.Response) error {
		for i, c := range resp.Header["Set-Cookie"] {
			resp.Header["Set-Cookie"][i] = strings.Replace(c, "domain=.127.0.0.1; ", "", 1)
		}
		return nil
	}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		alter := p.alter
		p.mu.Unlock()
		if alter == nil {
			proxy.ServeHTTP(rw, r)
			return
		}
		alter(proxy).ServeHTTP(rw, r)
	}))
	_ = front.Listener.Close()
	front.Listener = l
	front.StartTLS()
	p.front = front
}

// Down closes the front: nobody reaches the provider.
func (p *Provider) Down() { p.front.Close() }

// Alter lets a man in the middle stand in the front, from now on; nil removes him.
func (p *Provider) Alter(man func(next http.Handler) http.Handler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.alter = man
}

// Rotate gives the provider another key to sign with, and starts it anew.
func (p *Provider) Rotate() {
	p.t.Helper()
	p.kill()
	p.writeKey()
	p.launch()
}

// Break ends the portal behind the front, which answers 502 from then on.
func (p *Provider) Break() { p.kill() }

// Mend starts it again.
func (p *Provider) Mend() {
	p.t.Helper()
	p.launch()
}

func (p *Provider) writeKey() {
	p.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		p.t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		p.t.Fatal(err)
	}
	p.keys++
	p.writeConfig(fmt.Sprintf("key-%d", p.keys),
		pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
		pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
}

func (p *Provider) write(name string, data []byte) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), data, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// launch starts the portal, and returns when it answers.
func (p *Provider) launch() {
	p.t.Helper()
	plackup, err := exec.LookPath("plackup")
	if err != nil {
		p.t.Fatal("LemonLDAP::NG is missing; run: make prerequisites")
	}
	p.output = &bytes.Buffer{}
	p.process = exec.Command(plackup, "--no-default-middleware", "--env", "production",
		"--host", "127.0.0.1", "--port", strconv.Itoa(p.port), filepath.Join(p.dir, "portal.psgi"))
	p.process.Env = append(os.Environ(), "LLNG_DEFAULTCONFFILE="+filepath.Join(p.dir, "llng.ini"))
	p.process.Stdout, p.process.Stderr = p.output, p.output
	// It ends with us: the kernel kills it when the thread that started it ends, so one
	// goroutine keeps that thread.
	p.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	process, ended, started := p.process, make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := process.Start()
		started <- err
		if err == nil {
			_ = process.Wait() // it is killed at the end
		}
	}()
	if err := <-started; err != nil {
		p.t.Fatal(err)
	}
	p.ended = ended
	p.await()
}

// await returns when the portal answers.
func (p *Provider) await() {
	p.t.Helper()
	discovery := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) + "/.well-known/openid-configuration"
	client := http.Client{Timeout: 10 * time.Second}
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) { // it says nowhere else that it is ready
		resp, err := client.Get(discovery)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-p.ended:
			p.t.Fatalf("LemonLDAP::NG ended; run: make prerequisites; it said:\n%s", p.output)
		default:
		}
		if err == nil || time.Since(begun) > time.Minute {
			p.kill()
			p.t.Fatalf("LemonLDAP::NG does not answer; run: make prerequisites; it said:\n%s", p.output)
		}
	}
}

// kill ends the portal; the front then says that it is away.
func (p *Provider) kill() {
	if p.ended == nil {
		return // it did not start
	}
	_ = p.process.Process.Kill()
	<-p.ended
}
