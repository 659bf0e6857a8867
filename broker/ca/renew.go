package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// What is wrong with a certificate that is to be renewed.
var (
	ErrExpired = errors.New("the certificate has expired")
	ErrRevoked = errors.New("the certificate was revoked")
	ErrUnknown = errors.New("the certificate is not one of this authority's holders")
	ErrTooMany = errors.New("the holder has too many certificates that are good")
)

// maxGood bounds how many certificates of one holder may be good at a time before there
// are no more by renewal. Two are usual; answers that were lost leave more.
const maxGood = 8

// Renew makes another certificate for whoever holds one that is good, with the key of a
// certificate request. held must have been shown in a TLS handshake, which proves that
// its key is there too. The old one stays good until it expires: the answer may be lost.
func (c *CA) Renew(held *x509.Certificate, request []byte, life time.Duration) (cert []byte, issued Issued, err error) {
	// Before the folder is held: anybody can show a certificate of their own making.
	if held.CheckSignatureFrom(c.cert) != nil {
		return nil, Issued{}, fmt.Errorf("renew: %w", ErrUnknown)
	}
	public, err := requestedKey(request)
	if err != nil {
		return nil, Issued{}, fmt.Errorf("renew: %w", err)
	}
	err = c.change(func(l *lists) error {
		i, err := c.renewable(l, held)
		if err != nil {
			return err
		}
		id := *i.Identity
		cert, issued, err = c.sign(l, order{template: clientTemplate(id), holder: id.String(), identity: &id, life: life}, public)
		return err
	})
	if err != nil {
		return nil, Issued{}, fmt.Errorf("renew: %w", err)
	}
	return cert, issued, nil
}

// renewable finds a certificate that the authority signed in the list. It is by the list
// that it is good, and whose it is.
func (c *CA) renewable(l *lists, held *x509.Certificate) (*Issued, error) {
	now := c.now()
	if now.After(held.NotAfter) {
		return nil, fmt.Errorf("%w at %s, by this authority's clock, which says %s: it cannot be renewed, enrol with a new token",
			ErrExpired, held.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	var found *Issued
	good, number := 0, held.SerialNumber.Text(16)
	for n := range l.issued {
		if l.issued[n].Serial == number {
			found = &l.issued[n]
		}
	}
	if found == nil || found.Identity == nil {
		return nil, ErrUnknown
	}
	if !found.Revoked.IsZero() {
		return nil, fmt.Errorf("%w at %s: enrol with a new token", ErrRevoked, found.Revoked.Format(time.RFC3339))
	}
	for n := range l.issued {
		if i := &l.issued[n]; i.Holder == found.Holder && i.good(now) {
			good++
		}
	}
	if good >= maxGood {
		return nil, fmt.Errorf("%w: %d; revoke those that are not in use (andon-broker ca list)", ErrTooMany, good)
	}
	return found, nil
}
