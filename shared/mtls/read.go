package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"andon.internal/shared/config"
)

// maxFile bounds what is read of a file: a long list of revoked certificates.
const maxFile = 16 << 20

// read reads all files, and checks that they belong together.
func read(c Config) (h held, err error) {
	var authorities []*x509.Certificate
	if c.CA != "" {
		if authorities, err = certificates(c.CA); err != nil {
			return h, err
		}
	}
	h.pool = x509.NewCertPool()
	for _, a := range authorities {
		h.pool.AddCert(a)
	}
	if h.own, err = pair(c); err != nil {
		return h, err
	}
	if c.CRL != "" {
		err = h.readRevoked(c.CRL, authorities)
	}
	return h, err
}

// pair reads our own certificate and its key. Errors of the key say nothing of it.
func pair(c Config) (tls.Certificate, error) {
	cert, err := readFile(c.Cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	key := cert
	if c.Key != c.Cert {
		if key, err = readFile(c.Key); err != nil {
			return tls.Certificate{}, err
		}
	}
	own, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return own, fmt.Errorf("%s and %s: %w", c.Cert, c.Key, err)
	}
	return own, nil
}

func certificates(path config.Path) ([]*x509.Certificate, error) {
	b, err := readFile(path)
	if err != nil {
		return nil, err
	}
	var out []*x509.Certificate
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: there is no certificate in PEM in it", path)
	}
	return out, nil
}

// readRevoked reads the lists of revoked certificates; each must be signed by one of the
// authorities.
func (h *held) readRevoked(path config.Path, authorities []*x509.Certificate) error {
	b, err := readFile(path)
	if err != nil {
		return err
	}
	h.revoked = map[string]time.Time{}
	lists := 0
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		err = errors.New("no authority is known")
		for _, a := range authorities {
			if err = list.CheckSignatureFrom(a); err == nil {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("%s: not signed by the authority: %w", path, err)
		}
		for _, e := range list.RevokedCertificateEntries {
			h.revoked[e.SerialNumber.Text(16)] = e.RevocationTime
		}
		if list.ThisUpdate.After(h.listed) {
			h.listed = list.ThisUpdate
		}
		lists++
	}
	if lists == 0 {
		return fmt.Errorf("%s: there is no list of revoked certificates in PEM in it", path)
	}
	return nil
}

func readFile(path config.Path) ([]byte, error) {
	fi, err := os.Stat(string(path))
	if err != nil {
		return nil, err
	}
	if fi.Size() > maxFile {
		return nil, fmt.Errorf("%s: %d bytes are more than %d", path, fi.Size(), maxFile)
	}
	return os.ReadFile(string(path))
}
