package collector

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"andon.internal/shared/ops"
)

// keywordPassword finds the passwords in a connection string of keywords.
var keywordPassword = regexp.MustCompile(`(?i)\b(?:ssl)?password\s*=\s*(?:'(?:\\.|[^'\\])*'?|(?:\\.|[^\s\\])*)`)

// hasPassword reports whether a connection string has a password in it.
func hasPassword(dsn string) bool {
	if !strings.Contains(dsn, "://") {
		return keywordPassword.MatchString(dsn)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return false
	}
	_, set := u.User.Password()
	return set || u.Query().Has("password") || u.Query().Has("sslpassword")
}

// withoutPassword returns a connection string without the passwords that are in it; of
// one that cannot be read, nothing.
func withoutPassword(dsn string) string {
	if !strings.Contains(dsn, "://") {
		return strings.TrimSpace(keywordPassword.ReplaceAllString(dsn, ""))
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return ""
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	q := u.Query()
	q.Del("password")
	q.Del("sslpassword")
	u.RawQuery = q.Encode()
	return u.String()
}

// checkServer returns an error where a connection string leads beyond this machine and its
// TLS does not verify the server. One that cannot be read is for the store to report.
func checkServer(dsn string, plaintext bool) error {
	c, err := pgconn.ParseConfig(dsn)
	if plaintext || err != nil {
		return nil
	}
	servers := []*pgconn.FallbackConfig{{Host: c.Host, TLSConfig: c.TLSConfig}}
	for _, s := range append(servers, c.Fallbacks...) {
		if !strings.HasPrefix(s.Host, "/") && !ops.Local(s.Host) && !verifies(s.TLSConfig) {
			return fmt.Errorf("the database at %q is beyond this machine, and its TLS does not verify it: add sslmode=verify-full and "+
				"sslrootcert to the connection string, or set database.plaintext: true where the network is one of this machine alone", s.Host)
		}
	}
	return nil
}

// verifies reports whether a connection knows by a certificate who the server is:
// sslmode=verify-full, or verify-ca, which looks by itself.
func verifies(c *tls.Config) bool {
	return c != nil && (!c.InsecureSkipVerify || c.VerifyPeerCertificate != nil)
}
