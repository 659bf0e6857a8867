package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"andon.internal/shared/atomicfile"
	"andon.internal/shared/ops"
)

// The files of an authority.
const (
	CertFile   = "ca.crt"
	keyFile    = "ca.key"
	issuedFile = "issued.json"
	tokensFile = "tokens.json"
	CRLFile    = "revoked.crl"
	lockFile   = "lock"
)

// Lives of certificates.
const (
	AuthorityLife = 20 * 365 * 24 * time.Hour
	DefaultLife   = 397 * 24 * time.Hour
	crlLife       = 10 * 365 * 24 * time.Hour // it is renewed with every change, and its age is not looked at
	backdate      = 5 * time.Minute           // for clocks that are a little behind; at most a tenth of the life
)

// CA is an opened authority. All methods are safe for concurrent use, also by several
// processes.
type CA struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time
	mu   sync.Mutex // over changes of the lists
}

// Init makes a new authority in a folder, which must not have one.
func Init(dir, name string) (*CA, error) {
	c, err := initialize(dir, name)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	return c, nil
}

func initialize(dir, name string) (*CA, error) {
	if _, err := os.Stat(filepath.Join(dir, keyFile)); !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s has one already", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := ops.Now()
	template := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(AuthorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	c := &CA{dir: dir, key: key, now: ops.Now}
	if c.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	// The key comes last: with it the authority is there.
	err = errors.Join(
		atomicfile.Write(c.path(CertFile), 0o644, c.CertPEM()),
		c.saveIssued(nil), c.saveCRL(nil),
	)
	if err == nil {
		err = atomicfile.Write(c.path(keyFile), 0o600, keyPEM)
	}
	return c, err
}

// Open reads the authority of a folder.
func Open(dir string) (*CA, error) {
	c := &CA{dir: dir, now: ops.Now}
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	return c, nil
}

func (c *CA) read() error {
	certPEM, err := os.ReadFile(c.path(CertFile))
	if err != nil {
		return err
	}
	keyPEM, err := os.ReadFile(c.path(keyFile))
	if err != nil {
		return err
	}
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return fmt.Errorf("%s is not in PEM", CertFile)
	}
	if c.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		return fmt.Errorf("%s: %w", CertFile, err)
	}
	if block, _ = pem.Decode(keyPEM); block == nil {
		return fmt.Errorf("%s is not in PEM", keyFile)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("%s cannot be read as a key", keyFile)
	}
	var ok bool
	if c.key, ok = key.(*ecdsa.PrivateKey); !ok || !c.key.PublicKey.Equal(c.cert.PublicKey) {
		return fmt.Errorf("%s does not belong to %s", keyFile, CertFile)
	}
	_, err = c.readLists()
	return err
}

func (c *CA) path(file string) string { return filepath.Join(c.dir, file) }

// Certificate is the authority's own; nobody may change it.
func (c *CA) Certificate() *x509.Certificate { return c.cert }

// CertPEM is the authority's own certificate in PEM.
func (c *CA) CertPEM() []byte { return encodeCert(c.cert.Raw) }

// CRL returns the list of revoked certificates, in PEM.
func (c *CA) CRL() ([]byte, error) { return os.ReadFile(c.path(CRLFile)) }

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
