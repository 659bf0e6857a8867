package identity

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"andon.internal/shared/enroll"
)

// CheckURL returns an error unless an address is that of an authority's service, such as
// https://ca.plant.example:8884.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Path != "" && u.Path != "/" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%q must be like https://ca.plant.example:8884", address)
	}
	return nil
}

// Refused is the service's answer where it gives no certificate.
type Refused struct{ enroll.Fault }

func (r *Refused) Error() string { return r.Fault.Error }

// askTimeout bounds one request.
const askTimeout = 30 * time.Second

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 256 << 10

// newKey makes a key, and the request that asks for its certificate.
func newKey() (key *ecdsa.PrivateKey, keyPEM []byte, csr string, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, "", err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, nil, "", err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request})), nil
}

// ask sends a request to the service, and returns its answer and the certificate in that,
// which is of the key.
func ask(ctx context.Context, c *tls.Config, address, path string, q enroll.Request, key *ecdsa.PrivateKey) (enroll.Answer, *x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	u, err := url.Parse(address)
	if err != nil {
		return enroll.Answer{}, nil, err
	}
	body, err := json.Marshal(q)
	if err != nil {
		return enroll.Answer{}, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return enroll.Answer{}, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	// Neither proxies nor redirects: a token is for one server.
	client := http.Client{
		Transport:     &http.Transport{TLSClientConfig: c, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r)
	if err != nil {
		return enroll.Answer{}, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return enroll.Answer{}, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		var f enroll.Fault
		if json.Unmarshal(text, &f) != nil || f.Code == "" {
			return enroll.Answer{}, nil, fmt.Errorf("%s answers %s, which no andon-broker ca serve does", u.Host, resp.Status)
		}
		return enroll.Answer{}, nil, &Refused{f}
	}
	var a enroll.Answer
	if err := json.Unmarshal(text, &a); err != nil {
		return enroll.Answer{}, nil, errors.New("the answer is not in JSON")
	}
	leaf, err := parse(a.Certificate)
	if err == nil && !key.PublicKey.Equal(leaf.PublicKey) {
		err = errors.New("it is not of our key")
	}
	if err != nil {
		return enroll.Answer{}, nil, fmt.Errorf("the certificate in the answer: %w", err)
	}
	return a, leaf, nil
}

func parse(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("it is not in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}
