package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"andon.internal/broker/access"
)

// The files of an authority.
const (
	CertFile   = "ca.crt"
	keyFile    = "ca.key"
	issuedFile = "issued.json"
	CRLFile    = "revoked.crl"
)

// Lives of certificates.
const (
	AuthorityLife = 20 * 365 * 24 * time.Hour
	DefaultLife   = 397 * 24 * time.Hour
	crlLife       = 10 * 365 * 24 * time.Hour // it is renewed with every change, and its age is not looked at
	backdate      = 5 * time.Minute           // for clocks that are a little behind
)

// CA is an opened authority.
type CA struct {
	dir    string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	issued []Issued
	now    func() time.Time
}

// Issued is a certificate that the authority signed.
type Issued struct {
	Serial string `json:"serial"` // hexadecimal
	Holder string `json:"holder"` // an identity, or a broker's names
	// Identity is that of the holder; nil for a broker.
	Identity *access.Identity `json:"identity,omitempty"`
	Made     time.Time        `json:"made"`
	Expires  time.Time        `json:"expires"`
	Revoked  time.Time        `json:"revoked,omitzero"`
}

// Init makes a new authority in a folder, which must not have one.
func Init(dir, name string) (*CA, error) {
	if _, err := os.Stat(filepath.Join(dir, keyFile)); !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("make authority: %s has one already", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(AuthorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	c := &CA{dir: dir, cert: cert, key: key, now: time.Now}
	// The key comes last: with it the authority is there.
	err = errors.Join(
		writeFile(filepath.Join(dir, CertFile), encodeCert(der), 0o644),
		c.save(),
	)
	if err == nil {
		err = writeFile(filepath.Join(dir, keyFile), keyPEM, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	return c, nil
}

// Open reads the authority of a folder.
func Open(dir string) (*CA, error) {
	c := &CA{dir: dir, now: time.Now}
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	return c, nil
}

func (c *CA) read() error {
	certPEM, err := os.ReadFile(filepath.Join(c.dir, CertFile))
	if err != nil {
		return err
	}
	keyPEM, err := os.ReadFile(filepath.Join(c.dir, keyFile))
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
	b, err := os.ReadFile(filepath.Join(c.dir, issuedFile))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &c.issued); err != nil {
		return fmt.Errorf("%s: %w", issuedFile, err)
	}
	return nil
}

// List returns everything that was issued, oldest first. It is the receiver's own.
func (c *CA) List() []Issued { return append([]Issued(nil), c.issued...) }

// save writes the two lists.
func (c *CA) save() error {
	b, err := json.MarshalIndent(c.issued, "", "  ")
	if err != nil {
		return err
	}
	crl, err := c.revocations()
	if err != nil {
		return err
	}
	return errors.Join(
		writeFile(filepath.Join(c.dir, issuedFile), append(b, '\n'), 0o600),
		writeFile(filepath.Join(c.dir, CRLFile), crl, 0o644),
	)
}

// revocations is the signed list of what was revoked.
func (c *CA) revocations() ([]byte, error) {
	now := c.now()
	list := &x509.RevocationList{Number: big.NewInt(now.UnixNano()), ThisUpdate: now, NextUpdate: now.Add(crlLife)}
	for _, i := range c.issued {
		if i.Revoked.IsZero() {
			continue
		}
		n, ok := new(big.Int).SetString(i.Serial, 16)
		if !ok {
			return nil, fmt.Errorf("%s: the serial number %q is none", issuedFile, i.Serial)
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: n, RevocationTime: i.Revoked})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, c.cert, c.key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), nil
}

// newSerial returns 127 random bits: serial numbers are never used twice.
func newSerial() *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // never fails
	return n
}

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

// writeFile replaces a file: what is there at its name is the old one or the new one,
// whole, also after a power cut.
func writeFile(path string, b []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(b)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
