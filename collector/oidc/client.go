package oidc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"andon.internal/shared/config"
)

// Bounds of a request to the provider.
const (
	askWithin = 10 * time.Second
	maxAnswer = 1 << 20  // bytes
	maxCA     = 16 << 20 // bytes
)

// What can fail between us and the provider, as the metric counts it.
const (
	failUnreachable = "unreachable" // no answer
	failStatus      = "status"      // an answer that says it cannot
)

// awayError is a provider that does not answer, or not with what was asked for.
type awayError struct{ err error }

func (e *awayError) Error() string { return e.err.Error() }
func (e *awayError) Unwrap() error { return e.err }

// newClient returns the client that speaks with the provider. It follows no redirect: the
// issuer says where everything is.
func (p *Provider) newClient() (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	transport.MaxConnsPerHost = 16
	transport.MaxResponseHeaderBytes = 64 << 10
	if p.config.CA != "" {
		pool, err := readCA(p.config.CA)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &http.Client{
		Timeout:       askWithin,
		Transport:     &bounded{transport, p.metrics},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func readCA(path config.Path) (*x509.CertPool, error) {
	f, err := os.Open(string(path))
	if err != nil {
		return nil, fmt.Errorf("read ca: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCA))
	if err != nil {
		return nil, fmt.Errorf("read ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("read ca: %s: there is no certificate in PEM in it", path)
	}
	return pool, nil
}

// bounded bounds the provider's answers and counts those that do not come.
type bounded struct {
	next    *http.Transport
	metrics metrics
}

// RoundTrip returns an awayError where the provider gives no usable answer. What it
// answers to the exchange of a code, below 500, is for the caller to judge.
func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		b.metrics.failures.WithLabelValues(failUnreachable).Inc()
		return nil, &awayError{err}
	}
	if resp.StatusCode >= 500 || (r.Method == http.MethodGet && resp.StatusCode != http.StatusOK) {
		resp.Body.Close()
		b.metrics.failures.WithLabelValues(failStatus).Inc()
		return nil, &awayError{fmt.Errorf("the provider answered %d", resp.StatusCode)}
	}
	resp.Body = &body{resp.Body, maxAnswer}
	return resp, nil
}

// body is an answer that ends with an error where it is too long.
type body struct {
	io.ReadCloser
	left int
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errors.New("the provider's answer is too long")
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
