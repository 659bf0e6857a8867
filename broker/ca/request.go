package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// ErrRequest is wrapped where a certificate request cannot be taken.
var ErrRequest = errors.New("the certificate request cannot be taken")

// requestedKey returns the key of a certificate request, in PEM or DER, whose sender has
// shown to have the private one.
func requestedKey(request []byte) (crypto.PublicKey, error) {
	der := request
	if block, rest := pem.Decode(request); block != nil {
		if block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" || len(bytes.TrimSpace(rest)) > 0 {
			return nil, fmt.Errorf("%w: it must be one CERTIFICATE REQUEST and nothing else", ErrRequest)
		}
		der = block.Bytes
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("%w: it is no PKCS #10", ErrRequest)
	}
	switch k := r.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() {
			return nil, fmt.Errorf("%w: its curve must be P-256 or P-384", ErrRequest)
		}
	case ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("%w: its key must be ECDSA on P-256 or P-384, or Ed25519", ErrRequest)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: it is not signed by its key: %w", ErrRequest, err)
	}
	return r.PublicKey, nil
}
