package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"andon.internal/broker/access"
	"andon.internal/broker/ca"
	"andon.internal/shared/cli"
	"andon.internal/shared/enroll"
	"andon.internal/shared/ops"
)

// caCmd are the commands of the small certificate authority.
type caCmd struct {
	Init   caInitCmd   `cmd:"" help:"Make an authority."`
	Broker caBrokerCmd `cmd:"" help:"Issue the broker's own certificate."`
	Issue  caIssueCmd  `cmd:"" help:"Issue a certificate for a cell, a collector or a viewer."`
	Token  caTokenCmd  `cmd:"" help:"Make a token with which a cell gets its first certificate by itself."`
	Serve  caServeCmd  `cmd:"" help:"Let cells enrol and renew over HTTPS."`
	Revoke caRevokeCmd `cmd:"" help:"Put a certificate on the list of those that are no longer good."`
	List   caListCmd   `cmd:"" help:"Show what was issued."`
	Acl    caACLCmd    `cmd:"" name:"acl" help:"Write who may do what as an ACL file of Mosquitto."`
}

// authority is the folder that every command needs.
type authority struct {
	Dir string `default:"andon-ca" placeholder:"DIR" help:"The authority's folder; andon-ca."`
}

func (a authority) open() (*ca.CA, error) {
	c, err := ca.Open(a.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ops.UsageError(err, "make one with: andon-broker ca init --dir "+a.Dir)
	}
	return c, err
}

type caInitCmd struct {
	authority
	Name string `default:"Andon" help:"The authority's name in its certificate."`
}

// Help is shown below the flags.
func (caInitCmd) Help() string {
	return `Its key stays in the folder: keep that off the network, and a copy of it in a safe.

  andon-broker ca init
  andon-broker ca init --dir /srv/andon-ca --name "Austin plant"`
}

// Run runs the command.
func (k *caInitCmd) Run(e *cli.Env) error {
	if _, err := ca.Init(k.Dir, k.Name); err != nil {
		return err
	}
	fmt.Fprintf(e.Stdout, "the authority is in %s; every machine needs its certificate, %s\n", k.Dir, filepath.Join(k.Dir, ca.CertFile))
	return nil
}

// output is where a pair goes.
type output struct {
	Out  string        `default:"." placeholder:"DIR" help:"Where the files go; this folder."`
	Life time.Duration `default:"9528h" help:"How long the certificate is good; 397 days."`
}

// write writes NAME.crt and NAME.key, of which neither may be there; without a key the
// holder has made it.
func (o output) write(e *cli.Env, name string, p ca.Pair, i ca.Issued) error {
	for _, f := range []struct {
		suffix string
		body   []byte
	}{{".key", p.Key}, {".crt", p.Cert}} {
		if f.body == nil {
			continue
		}
		path := filepath.Join(o.Out, name+f.suffix)
		out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return ops.Hint(fmt.Errorf("write certificate: %w", err),
				"the certificate is issued and nobody has it: revoke it with andon-broker ca revoke "+i.Serial)
		}
		_, err = out.Write(f.body)
		if err = errors.Join(err, out.Close()); err != nil {
			return fmt.Errorf("write certificate: %w", err)
		}
		fmt.Fprintln(e.Stdout, path)
	}
	fmt.Fprintf(e.Stdout, "%s, serial number %s, good until %s\n", i.Holder, i.Serial, i.Expires.Format(time.RFC3339))
	return nil
}

type caBrokerCmd struct {
	authority
	Host []string `required:"" placeholder:"NAME" help:"A name or address under which the broker is reached; may be repeated."`
	output
}

// Help is shown below the flags.
func (caBrokerCmd) Help() string {
	return `Writes broker.crt and broker.key.

  andon-broker ca broker --host broker.plant.example --host 10.0.0.5 --out /etc/andon`
}

// Run runs the command.
func (k *caBrokerCmd) Run(e *cli.Env) error {
	c, err := k.open()
	if err != nil {
		return err
	}
	p, i, err := c.IssueServer(k.Host, k.Life)
	if err != nil {
		return err
	}
	return k.write(e, "broker", p, i)
}

type caIssueCmd struct {
	authority
	Node      string `placeholder:"ID" xor:"who" required:"" help:"For a cell; with --group."`
	Group     string `placeholder:"ID" help:"The cell's group."`
	Collector string `placeholder:"NAME" xor:"who" required:"" help:"For a collector."`
	Viewer    string `placeholder:"NAME" xor:"who" required:"" help:"For somebody who only looks."`
	CSR       string `name:"csr" placeholder:"FILE" help:"A certificate request: the holder keeps the key, and only NAME.crt is written. Nothing but its key counts."`
	output
}

// Help is shown below the flags.
func (caIssueCmd) Help() string {
	return `Writes NAME.crt and NAME.key; take them to the machine on a way that nobody reads.

  andon-broker ca issue --node cell-07 --group austin-line1 --out cell-07
  andon-broker ca issue --collector main --out /etc/andon
  andon-broker ca issue --viewer ann --life 720h
  andon-broker ca issue --collector main --csr main.csr`
}

// Run runs the command.
func (k *caIssueCmd) Run(e *cli.Env) error {
	i := access.Identity{Role: access.Node, Group: k.Group, Name: k.Node}
	switch {
	case k.Collector != "":
		i = access.Identity{Role: access.Collector, Group: k.Group, Name: k.Collector}
	case k.Viewer != "":
		i = access.Identity{Role: access.Viewer, Group: k.Group, Name: k.Viewer}
	}
	if err := i.Check(); err != nil {
		return ops.UsageError(err, "for example --node cell-07 --group austin-line1")
	}
	c, err := k.open()
	if err != nil {
		return err
	}
	if k.CSR != "" {
		request, err := readSmall(k.CSR, enroll.MaxBody)
		if err != nil {
			return fmt.Errorf("read certificate request: %w", err)
		}
		cert, issued, err := c.IssueFor(i, request, k.Life)
		if err != nil {
			return err
		}
		return k.write(e, i.Name, ca.Pair{Cert: cert}, issued)
	}
	p, issued, err := c.Issue(i, k.Life)
	if err != nil {
		return err
	}
	return k.write(e, i.Name, p, issued)
}

type caRevokeCmd struct {
	authority
	Which string `arg:"" help:"A serial number, or a holder, as andon-broker ca list shows them."`
}

// Help is shown below the flags.
func (caRevokeCmd) Help() string {
	return `By holder, all its certificates are revoked, and the tokens that it did not use are
ended. By serial number it is one certificate: whoever had its key may have renewed it, so
those of the holder that are still good are told.

The broker refuses it, and ends the connections that are open with it, within seconds
of having the list: tls.crl is revoked.crl of the authority's folder, or a copy of it, which
is read again when it changes.

  andon-broker ca revoke "node austin-line1/cell-07"`
}

// Run runs the command.
func (k *caRevokeCmd) Run(e *cli.Env) error {
	c, err := k.open()
	if err != nil {
		return err
	}
	tokens, err := c.EndTokens(k.Which)
	if err != nil {
		return err
	}
	if tokens > 0 {
		fmt.Fprintf(e.Stdout, "ended: %d tokens of %s that were not used\n", tokens, k.Which)
	}
	list, err := c.Revoke(k.Which)
	if errors.Is(err, ca.ErrNotIssued) && tokens == 0 {
		return ops.UsageError(err, "andon-broker ca list shows what was issued")
	}
	if err != nil && !errors.Is(err, ca.ErrNotIssued) {
		return err
	}
	for _, i := range list {
		fmt.Fprintf(e.Stdout, "revoked: %s, serial number %s\n", i.Holder, i.Serial)
	}
	return tellOthers(e, c, list)
}

// tellOthers tells of the certificates that the holders of those that were revoked still
// have.
func tellOthers(e *cli.Env, c *ca.CA, revoked []ca.Issued) error {
	all, err := c.List()
	if err != nil {
		return err
	}
	for _, i := range all {
		same := slices.ContainsFunc(revoked, func(r ca.Issued) bool { return r.Holder == i.Holder })
		if same && i.Revoked.IsZero() && ops.Now().Before(i.Expires) {
			fmt.Fprintf(e.Stdout, "still good: %s, serial number %s; revoke %q to end all of them\n", i.Holder, i.Serial, i.Holder)
		}
	}
	return nil
}

type caListCmd struct{ authority }

// Help is shown below the flags.
func (caListCmd) Help() string {
	return "Certificates, with who holds them and until when.\n\n  andon-broker ca list"
}

// Run runs the command.
func (k *caListCmd) Run(e *cli.Env) error {
	c, err := k.open()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.Stdout, 0, 0, 2, ' ', 0)
	list, err := c.List()
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "SERIAL\tHOLDER\tEXPIRES\tREVOKED")
	for _, i := range list {
		revoked := "-"
		if !i.Revoked.IsZero() {
			revoked = i.Revoked.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", i.Serial, i.Holder, i.Expires.Format(time.RFC3339), revoked)
	}
	return w.Flush()
}

type caACLCmd struct{ authority }

// Help is shown below the flags.
func (caACLCmd) Help() string {
	return `For plants whose broker is Mosquitto: everybody whose certificate is good, with what
they may publish and read.

  andon-broker ca acl > /etc/mosquitto/andon.acl`
}

// Run runs the command.
func (k *caACLCmd) Run(e *cli.Env) error {
	c, err := k.open()
	if err != nil {
		return err
	}
	holders, err := c.Holders(ops.Now())
	if err != nil {
		return err
	}
	return access.WriteMosquitto(e.Stdout, holders)
}
