package mtls

import (
	"errors"
	"fmt"

	"andon.internal/shared/ops"
)

// CheckReach returns an error where a connection that goes to a host, or is taken there,
// may leave the machine without TLS and nobody has said so; tls says that there are
// certificates, plaintext is the key by which somebody does.
func CheckReach(host string, tls, plaintext bool) error {
	switch {
	case tls && plaintext:
		return errors.New("plaintext: true contradicts tls: leave one of them out")
	case tls || plaintext || ops.Local(host):
		return nil
	}
	return fmt.Errorf("%q is beyond this machine, and there is no TLS: anybody on the way could read and write; "+
		"name ca, cert and key under tls (andon-broker ca makes them), or set plaintext: true where the network is one of this machine alone", host)
}
