package collector

import (
	"net/url"
	"regexp"
	"strings"
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
