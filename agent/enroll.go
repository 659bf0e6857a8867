package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"andon.internal/agent/identity"
	"andon.internal/shared/enroll"
	"andon.internal/shared/ops"
)

// Enrolment is what andon-agent enroll is told.
type Enrolment struct {
	Config *Config // names cell, service and files, where that is not said here; nil: none
	URL    string  // of the service
	Token  string
	Out    string // the folder for the files
}

// Enroll gets the cell its first certificate, or another one, for a token. It may be used
// beside a running agent, which shows the new one at its next connection.
func Enroll(ctx context.Context, e Enrolment) (identity.Enrolled, error) {
	o := identity.Order{URL: e.URL}
	if c := e.Config; c != nil {
		o.Group, o.Node = c.Group, c.Node
		if o.URL == "" {
			o.URL = c.MQTT.Enroll.URL
		}
	}
	if o.URL == "" {
		return identity.Enrolled{}, ops.UsageError(errors.New("nobody says where to enrol"), "give --url, or a --config with mqtt.enroll.url")
	}
	if err := identity.CheckURL(o.URL); err != nil {
		return identity.Enrolled{}, ops.UsageError(err, "it is the address of andon-broker ca serve")
	}
	var err error
	if o.Files, err = e.files(); err != nil {
		return identity.Enrolled{}, err
	}
	if o.Token, err = enroll.ParseToken(e.Token); err != nil {
		return identity.Enrolled{}, ops.UsageError(err, "andon-broker ca token makes one")
	}
	return identity.Enroll(ctx, o)
}

// files are where the certificates go: where the configuration looks for them.
func (e *Enrolment) files() (identity.Files, error) {
	dir := e.Out
	if c := e.Config; dir == "" && c != nil {
		if t := c.MQTT.TLS; t.On() {
			if t.Cert != t.Key {
				return identity.Files{}, ops.UsageError(errors.New("tls.cert and tls.key name two files, and enrolling writes one"),
					"name one file for both, or give --out")
			}
			return identity.Files{CA: string(t.CA), Pair: string(t.Cert)}, nil
		}
		dir = filepath.Join(string(c.Data), "tls")
	}
	if dir == "" {
		return identity.Files{}, ops.UsageError(errors.New("nobody says where the files go"), "give --out, or --config")
	}
	dir, err := filepath.Abs(dir)
	return identity.FilesIn(dir), err
}

// Tell writes what came of an enrolment, and what belongs into agent.yaml.
func Tell(w io.Writer, e identity.Enrolled) {
	fmt.Fprintf(w, "enrolled as node %s/%s, serial number %s, good until %s\n%s\n%s\n",
		e.Group, e.Node, e.Certificate.SerialNumber.Text(16), e.Certificate.NotAfter.UTC().Format("2006-01-02T15:04:05Z"), e.Files.CA, e.Files.Pair)
	fmt.Fprintf(w, `
In agent.yaml, with the broker's address beginning with mqtts://:

mqtt:
  tls:
    ca: %[1]s
    cert: %[2]s
    key: %[2]s
  enroll:
    url: %[3]s
`, e.Files.CA, e.Files.Pair, e.URL)
}
